// Chapters in which something is taken away: each button is pressed, confirmed, and what it says is true afterwards.

import assert from "node:assert/strict";

import { about, isUntouched, signedIn, visit } from "./steps.mjs";

/** Presses a button and says yes; it is announced that it is done, once. */
async function confirmed(page, button, verb, said) {
  await page.run(() => void (document.getElementById("said").textContent = ""));
  await page.click(button.selector, button.text);
  await page.click("dialog button", verb);
  await page.until((said) => document.getElementById("said").innerText === said, `it is said: ${said}`, said);
  assert.equal(await page.run(() => document.querySelector("dialog")), null, "the dialog is closed");
}

/** Names in the tree of topics. */
const levels = (page) => page.run(() => [...document.querySelectorAll(".tree .row .raw")].map((one) => one.innerText));

async function removal(page) {
  await signedIn(page);
  await visit(page, [`#/clients/${about.holder}`, "Last packets"]);
  await page.until(() => document.body.innerText.match(/Queued\s+3 \(/), "three messages wait");
  await confirmed(page, { selector: ".tools button", text: "Empty the queue" }, "Empty the queue", "The queue is empty.");
  await page.until(() => document.body.innerText.match(/Queued\s+0 \(/), "nothing waits");
  assert(!(await page.run(() => document.querySelector(".tools").innerText.includes("Empty the queue"))), "an empty queue cannot be emptied");
  await confirmed(page, { selector: ".tools button", text: "Ban" }, "Ban", "The client id is banned.");
  await visit(page, ["#/bans", about.holder]);
  await visit(page, ["#/topics", "first"]);
  await page.click(".tree .row", "first");
  await confirmed(page, { selector: ".value-frame button", text: "Delete" }, "Delete", "The retained message is deleted.");
  await page.until(() => !document.querySelector(".tree").innerText.includes("first"), "the topic is gone");
  assert((await levels(page)).includes("second"), "the others are there");
  await page.enter("input[name=filter]", "old/#");
  await page.click("button", "Show");
  await page.until(() => !document.querySelector(".tree").innerText.includes("third"), "only what matches is shown");
  await page.enter("input[name=filter]", "#");
  await page.click("button", "Delete what matches");
  await page.reads("Delete 5 retained messages?");
  await page.press("Escape");
  await page.enter("input[name=filter]", "old/#");
  await confirmed(page, { selector: "button", text: "Delete what matches" }, "Delete them", "The retained messages are deleted.");
  await page.reads("No retained message matches");
  page.complaints = page.complaints.filter((text) => !text.includes("404"));
  await isUntouched(page);
}

export const ACTS = { removal };
