// What chapters have in common: what they know of the broker, the ways into the dashboard and through it, and what always holds.

import assert from "node:assert/strict";

/** What flows while somebody looks: messages of 64 bytes in each second, and what they and their acknowledgements take. */
export const LOAD = { messages: 500, pairs: 5, kibibytes: 42 };

/** Whether a number as it is written is about this one: a busy machine may be late, and then hurries. */
export const IS_ABOUT = `(text, expected, unit) => {
  const number = text.endsWith(unit) ? Number(text.slice(0, text.length - unit.length)) : NaN;
  return number > expected * 0.5 && number < expected * 2;
}`;

export const about = JSON.parse(process.env.DASHBOARD);
export const { base, token } = about;

/** Every page, with something that can be read there once it is filled. */
export const PAGES = [
  ["#/", "Messages per second"],
  ["#/clients", about.client],
  [`#/clients/${encodeURIComponent(about.client)}`, "Last packets"],
  ["#/top", "Sorted by"],
  ["#/topics", "retained message"],
  ["#/subscriptions", about.client],
  ["#/shards", "publish_received"],
  ["#/drops", "Lost messages"],
  ["#/events", "Topic filter"],
  ["#/log", "Level"],
  ["#/publish", "Address"],
  ["#/bans", about.banned],
  ["#/users", "Add a user"],
];

/** Until it is the page that was loaded again. */
export async function reload(page) {
  await page.run(() => {
    window.isBefore = true;
    location.reload();
  });
  await page.until(() => !window.isBefore, "the page is loaded again");
}

export async function signIn(page, secret = token) {
  await page.go(`${base}/`);
  await page.enter("input[name=token]", secret);
  await page.press("Enter");
}

export async function signedIn(page, secret = token) {
  await signIn(page, secret);
  await page.until(() => document.querySelectorAll(".tile").length > 0, "the overview is there");
}

export async function visit(page, [hash, text]) {
  await page.run((hash) => void (location.hash = hash), hash);
  await page.until((hash) => location.hash === hash && document.querySelector("h1"), `${hash} is open`, hash);
  await page.reads(text);
}

/** Nothing was asked of another host, nothing failed, and no text has become markup. */
export async function isUntouched(page) {
  assert.equal(await page.run(() => window.hacked), undefined, "markup of a stranger has run");
  const others = page.asked.filter((url) => !url.startsWith(`${base}/`) && !/^(ws:\/\/127\.0\.0\.1|about:|data:)/.test(url));
  assert.deepEqual(others, [], "other hosts were asked");
  assert.deepEqual(page.complaints, [], "the browser complains");
}
