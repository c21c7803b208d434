// Chapters in which pages are read: numbers, lists and lines have to be what the broker and its clients make of them.

import assert from "node:assert/strict";

import { IS_ABOUT, LOAD, about, base, isUntouched, signedIn, token, visit } from "./steps.mjs";

/** What the API says itself. */
function ask(page, path) {
  return page.run(async (path, token) => (await fetch(path, { headers: { Authorization: `Bearer ${token}` } })).json(), path, token);
}

/** The values that stand beside the title of a chart, by their names: as they are written. */
const KEY = `(title) => {
  const figure = [...document.querySelectorAll("figure")].find((one) => one.querySelector("h2").innerText === title);
  const pairs = [...figure.querySelectorAll(".key > span")].map((one) => [one.firstElementChild.nextSibling.textContent.trim(), one.querySelector("b").innerText]);
  return { values: Object.fromEntries(pairs), label: figure.querySelector("svg").getAttribute("aria-label"), points: figure.querySelector(".line").getAttribute("d").split("L").length };
}`;

/** Waits until a chart has it as the condition wants it. */
async function chartHas(page, title, condition, what) {
  return page.until(`(title) => { const seen = (${KEY})(title); return (${condition})(seen) && seen; }`, `${title}: ${what}`, title);
}

/** The cells of each row of the table with this caption, by their titles. */
const ROWS = `(caption) => {
  const table = [...document.querySelectorAll("table")].find((one) => one.caption.innerText === caption);
  return [...table.tBodies[0].rows].map((row) => Object.fromEntries([...row.cells].map((cell) => [cell.dataset.label, cell.innerText])));
}`;

/** Waits until a table has the rows that the condition wants. */
function tableHas(page, caption, condition, what, ...args) {
  return page.until(`(caption, ...args) => { const rows = (${ROWS})(caption); return (${condition})(rows, ...args) && rows; }`, `${caption}: ${what}`, caption, ...args);
}

function choose(page, name, value) {
  return page.run((name, value) => {
    const control = document.querySelector(`select[name=${name}]`);
    control.value = value;
    control.dispatchEvent(new Event("change"));
  }, name, value);
}

/** Waits until the chart has as many connections as the broker says, and gives the number. */
function connections(page) {
  return page.until(`async (title, token) => {
    const { shards } = await (await fetch("/v1/shards", { headers: { Authorization: "Bearer " + token } })).json();
    const all = shards.reduce((sum, shard) => sum + shard.gauges.connections, 0);
    return (${KEY})(title).values.connected === String(all) && all;
  }`, "the chart has as many connections as there are", "Connections", token);
}

const total = (shards, part, name) => shards.reduce((sum, shard) => sum + shard[part][name], 0);

/**
 * Waits until each of these values of a chart is about what is expected, and is so again when there are more points: one on its way
 * to something else passes by.
 */
async function chartHolds(page, title, names, expected, unit) {
  const are = (points) => `(seen) => seen.points > ${points} && ${JSON.stringify(names)}.every((name) => (${IS_ABOUT})(seen.values[name], ${expected}, "${unit}"))`;
  const first = await chartHas(page, title, are(2), `${names} are about ${expected}${unit}`);
  await chartHas(page, title, are(first.points + 2), `${names} stay about ${expected}${unit}`);
}

/** While messages flow the charts have their rates; when they end, the charts fall to nothing. */
async function charts(page) {
  await signedIn(page);
  await chartHolds(page, "Messages per second", ["in", "out"], LOAD.messages, "");
  await chartHolds(page, "Bytes per second", ["in", "out"], LOAD.kibibytes, " KiB/s");
  const before = await connections(page);
  console.log("flowing");
  const ended = await chartHas(page, "Messages per second", (seen) => seen.values.in === "0" && seen.values.out === "0", "no message flows");
  assert.match(ended.label, /in 0, at most [1-9]/, "what was before is still drawn");
  await chartHas(page, "Bytes per second", (seen) => seen.values.in === "0 B/s" && seen.values.out === "0 B/s", "no byte flows");
  assert((await connections(page)) < before, "those who made the load are gone");
  await isUntouched(page);
}

/** Each shard has its own numbers, and the counters are the sums of what the shards have. */
async function shards(page) {
  await signedIn(page);
  await visit(page, ["#/shards", "publish_received"]);
  await tableHas(page, "Shards", `(rows) => (${IS_ABOUT})(String(rows.reduce((sum, row) => sum + parseFloat(row["Messages in/s"]), 0)), ${LOAD.messages}, "")`, "messages flow");
  const { shards } = await ask(page, "/v1/shards");
  assert(shards.length > 1, "there are several");
  for (const [caption, column, gauge] of [["Shards", "Connections", "connections"], ["What each shard holds", "Sessions", "sessions"], ["What each shard holds", "Subscriptions", "subscriptions"]]) {
    const numbers = shards.map((shard) => String(shard.gauges[gauge]));
    await tableHas(page, caption, (rows, column, numbers) => rows.map((row) => row[column]).join() === numbers.join(), `its ${column} are ${numbers}`, column, numbers);
  }
  await page.enter("input[type=search]", "publish_received");
  const counted = total(shards, "counters", "publish_received");
  const isSum = (rows, counted) => {
    const number = (text) => Number(text.replaceAll(",", ""));
    const sum = (row) => row["By shard"].split(" · ").map(number).reduce((sum, one) => sum + one, 0);
    return rows.length === 1 && rows[0].Counter === "publish_received" && number(rows[0].Total) === sum(rows[0]) && number(rows[0].Total) > counted;
  };
  await tableHas(page, "Counters of all shards together", isSum, "only what was searched for, and its sum", counted);
  await isUntouched(page);
}

/** What a client holds, and what it does. */
async function client(page) {
  await signedIn(page);
  await visit(page, [`#/clients/${about.holder}`, "Last packets"]);
  const facts = await page.run(() => Object.fromEntries([...document.querySelectorAll(".facts > div")].map((one) => [one.querySelector("dt").innerText, one.querySelector("dd").innerText])));
  assert.match(facts.State, /^connected /);
  assert.match(facts.Address, /^127\.0\.0\.1:\d+$/);
  const { Queued, Received, Sent, ...rest } = facts;
  assert.equal(rest.User, "none");
  assert.equal(rest.Protocol, "MQTT 5.0");
  assert.equal(rest["Receive maximum"], "2");
  assert.equal(rest.Ends, "10 min without one");
  assert.equal(rest.Subscriptions, "1");
  assert.match(rest["In flight"], /^2, the oldest for \d/);
  assert.match(Queued, /^3 \(/);
  const { traffic } = (await ask(page, `/v1/clients/${about.holder}`)).client;
  const packets = (number) => (number === 1 ? "1 packet, " : `${number} packets, `);
  assert(Received.startsWith(packets(traffic.packets_received)), Received);
  assert(Sent.startsWith(packets(traffic.packets_sent)), Sent);
  const topics = (caption, many) => tableHas(page, caption, (rows, many) => rows.length === many, `${many} rows`, many).then((rows) => rows.map((row) => row.Topic));
  assert.deepEqual(await topics("Messages that wait for an acknowledgement", 2), ["held/0", "held/1"]);
  assert.deepEqual(await topics("Messages that wait to be sent", 3), ["held/2", "held/3", "held/4"]);
  const [subscription] = await tableHas(page, "Subscriptions", (rows) => rows.length === 1, "there is one");
  assert.equal(subscription["Topic filter"], "held/#");
  assert.equal(subscription.QoS, "1");
  const { clients } = await ask(page, "/v1/top?by=packets_received&limit=1&over_s=2");
  await visit(page, [`#/clients/${encodeURIComponent(clients[0].client.client_id)}`, "Last packets"]);
  await chartHolds(page, "Packets per second", ["received", "sent"], LOAD.messages / LOAD.pairs, "");
  await isUntouched(page);
}

/** Lines as they come, those with a text, those that are bad enough, and none while it is held. */
async function log(page) {
  await signedIn(page);
  await visit(page, ["#/log", "Level"]);
  await page.until(() => ["", undefined].includes(document.querySelector(".feed > p")?.innerText) || document.querySelector(".log li"), "the stream is open");
  console.log("listening");
  const lines = (text) => page.until((text) => [...document.querySelectorAll(".log li")].some((one) => one.innerText.includes(text)), `there is a line with ${text}`, text);
  const none = (what) => page.until(() => document.querySelectorAll(".log li").length === 0, what);
  await lines("first-guest");
  await page.enter("input[name=search]", "FIRST-guest");
  await lines("first-guest");
  assert(await page.run(() => [...document.querySelectorAll(".log li")].every((one) => one.innerText.includes("first-guest"))), "no line is without the text");
  await choose(page, "level", "error");
  await none("no line is as bad as that");
  await choose(page, "level", "debug");
  await lines("first-guest");
  await page.enter("input[name=search]", "nothing like that");
  await none("no line has the text");
  await page.enter("input[name=search]", "guest");
  await lines("first-guest");
  await page.click("button", "Pause");
  await page.reads("Paused");
  console.log("paused");
  await page.until(() => /^Paused; [1-9]/.test(document.querySelector(".feed > p").innerText), "lines wait");
  assert(!(await page.run(() => document.querySelector(".log").innerText.includes("second-guest"))), "nothing comes while it is held");
  await page.click("button", "Go on");
  await lines("second-guest");
  await isUntouched(page);
}

/** Long lists have pages, filters leave what they say, and the busiest stand in their order. */
async function lists(page) {
  await signedIn(page);
  for (const [hash, caption, title, kind] of [["#/clients", "Clients", "Client", "clients"], ["#/subscriptions", "Subscriptions", "Topic filter", "subscriptions"]]) {
    await visit(page, [hash, "Next page"]);
    const first = await tableHas(page, caption, (rows) => rows.length === 50, "a page is full");
    await page.click("button", "Next page");
    const second = await tableHas(page, caption, (rows, before) => rows.length > 0 && rows[0][Object.keys(rows[0])[0]] !== before, "it is another page", first[0][title]);
    const seen = [...first, ...second].map((row) => row[title]);
    for (let at = 0; at < about.listed; at += 1) {
      assert(seen.some((text) => text.includes(`listed-${at}`)), `${kind}: listed-${at} is on one of the pages`);
    }
    await page.click("button", "Previous page");
    await tableHas(page, caption, (rows, title, before) => rows[0][title] === before, "it is the first page", title, first[0][title]);
  }
  await page.enter("input[name=filter]", "listed-7/");
  await tableHas(page, "Subscriptions", (rows) => rows.length === 1 && rows[0]["Topic filter"] === "listed-7/+", "only that filter");
  await page.enter("input[name=client_id]", "nobody");
  await page.reads("No subscription is like that");
  await visit(page, ["#/clients", "Next page"]);
  await page.enter("input[name=client_id]", "listed-8");
  await tableHas(page, "Clients", (rows) => rows.length === 1 && rows[0].Client === "listed-8" && rows[0].State === "away", "only that client");
  await choose(page, "connected", "true");
  await page.reads("No client is like that");
  await page.enter("input[name=client_id]", about.victim);
  await tableHas(page, "Clients", (rows, victim) => rows.length === 1 && rows[0].Client === victim, "only who is connected", about.victim);
  await page.enter("input[name=user]", "nobody");
  await page.reads("No client is like that");
  await visit(page, ["#/top", "Sorted by"]);
  assert.equal(await page.run(() => document.querySelector("select[name=by]").value), "bytes", "all that it sends and gets comes first");
  await tableHas(page, "Clients by bytes per second, both ways", (rows) => rows.length > 1, "those of the load are busy");
  await choose(page, "by", "subscriptions");
  const most = await tableHas(page, "Clients by subscriptions", (rows) => rows.length > 1, "there are some");
  assert.deepEqual([most[0].Client, most[0].Subscriptions], [about.holder, "3"]);
  const numbers = most.map((row) => Number(row.Subscriptions));
  assert.deepEqual(numbers, [...numbers].sort((one, other) => other - one), "the most come first");
  await choose(page, "by", "queued");
  await tableHas(page, "Clients by messages that wait", (rows, holder) => rows[0]?.Client === holder && rows[0]["Messages that wait"] === "3", "the queue is known", about.holder);
  await isUntouched(page);
}

/** Whoever reads, marks or points at something keeps it while the numbers go on: the elements are the same ones. */
async function places(page) {
  await signedIn(page);
  assert.equal(await page.run(() => document.activeElement.innerText), "Overview", "whoever signs in begins at the top");
  const tile = await page.run(() => document.querySelector(".tile").textContent);
  assert.match(tile, /^Connections: \d[\d,]*, \d[\d,]* sessions?$/, "words are apart for whoever hears them");
  await stays(page, `[...document.querySelectorAll("dt")].find((one) => one.innerText === "Running for").nextSibling`);
  await visit(page, [`#/clients/${encodeURIComponent(about.client)}`, "Last packets"]);
  await stays(page, `[...document.querySelectorAll("dt")].find((one) => one.innerText === "State").nextSibling.firstChild`);
  await page.run(() => document.querySelector(".tools button:last-child").focus());
  await stays(page, `[...document.querySelectorAll("dt")].find((one) => one.innerText === "Silent for")?.nextSibling ?? document.querySelector("dd")`, "document.querySelector('dd').innerText");
  assert.equal(await page.run(() => document.activeElement.innerText), "Ban", "the focus stays");
  await visit(page, ["#/clients", about.client]);
  await stays(page, `document.querySelector("tbody td")`, `document.querySelector("tbody").innerText`);
  await isUntouched(page);
}

/** The element is there still when what it says, or what is to be watched instead, has become something else. */
async function stays(page, element, watched = "window.read.innerText") {
  await page.until(`() => (window.read = ${element}) && ((window.said = ${watched}), true)`, `${element} is there`);
  await page.until(`() => !window.read.isConnected || ${watched} !== window.said`, `${element} goes on`);
  assert(await page.run(() => window.read.isConnected), `${element} has made way for another one`);
}

/** What waits on disk alone is counted, though nobody can show it. */
async function disk(page) {
  await signedIn(page);
  await visit(page, ["#/", "Store on disk"]);
  await page.until(() => /Store on disk[:\s]+[\d.,]+ [KM]iB[,\s]+[1-9][\d.,]* \w+ queued there alone/.test(document.querySelector("main").innerText), "what is queued on disk alone is told");
  await visit(page, [`#/clients/${about.holder}`, "Last packets"]);
  await page.reads("3 messages wait on disk alone, and are not shown.");
  await page.reads("None of those that wait is in memory.");
  assert(!(await page.run(() => document.body.innerText.includes("Nothing waits"))));
  await isUntouched(page);
}

/** A client whose sessions take turns, and one that is away: how they left stands on their pages. */
async function leaving(page) {
  await signedIn(page);
  await visit(page, ["#/clients/twin", "Last packets"]);
  await page.until(() => /The session before ended\s+\d+ m?s ago/.test(document.querySelector("main").innerText), "it is told that there was one before");
  await page.reads("another connection with its client id took its place");
  await page.until(() => [...document.querySelectorAll("tbody code")].some((one) => one.checkVisibility() && one.innerText === "SUBSCRIBE"), "packets of the session before are there");
  await visit(page, [`#/clients/${encodeURIComponent(about.away)}`, "Last packets"]);
  await page.until(() => /Left\s+\d+ m?s.* ago: the client disconnected/.test(document.querySelector("main").innerText), "it is told how it left");
  await isUntouched(page);
}

/** That a client is not let in, and that two have one client id, stands on their pages; what was refused, among the packets. */
async function coming(page) {
  await signedIn(page);
  await page.go(`${base}/ui/#/clients/${encodeURIComponent(about.banned)}`);
  await page.reads("How it comes");
  await page.until(() => /it is not let in: banned, 3 times, the last \d+ \w+ ago, from 127\.0\.0\.1/.test(document.querySelector("main").innerText), "it is told that it is not let in");
  assert(!(await page.run(() => document.querySelector("main").innerText.includes("nothing is remembered"))));
  await page.until(() => /is banned for ever: it is not let in/.test(document.querySelector("main").innerText), "it is told by which ban");
  const places = () => page.run(() => [...document.querySelectorAll("main a")].filter((one) => one.offsetParent).map((one) => one.textContent));
  for (const place of ["All bans, and their end", "Its connections that are refused, as they come", "What it has lost", "Log"]) {
    assert((await places()).includes(place), `${place} is one step away`);
  }
  await page.enter("input[name=why-topic]", "t");
  await page.click("button", "Ask why");
  await page.until(() => /iothub ban remove -i/.test(document.querySelector(".why").innerText), "it is told how the ban is lifted");
  await page.click("a", "Its connections that are refused, as they come");
  await page.until(() => document.querySelector("select[name=kind]")?.value === "refused", "its refusals are asked for");
  assert.equal(await page.run(() => document.querySelector("input[name=client_id]").value), about.banned);
  await visit(page, ["#/", "Refused connections/s"]);
  await page.until(() => [...document.querySelectorAll(".tile")].some((tile) => /Refused connections\/s[^]*3 so far/.test(tile.innerText)), "they are counted");
  await page.run(() => [...document.querySelectorAll("a.tile")].find((tile) => /Refused/.test(tile.innerText)).click());
  await page.until(() => /connect: banned/.test(document.querySelector("main").innerText), "they are listed by cause");
  await page.until(() => {
    const titles = [...document.querySelectorAll("main h2")].map((title) => title.textContent);
    return titles.includes("Refused") && titles.indexOf("Refused") < titles.indexOf("Lost messages");
  }, "and shown first");
  await visit(page, ["#/clients/twin", "Last packets"]);
  await page.until(() => /it was taken over 4 times in the last \d+ s, by connections from 127\.0\.0\.1: two devices/.test(document.querySelector("main").innerText), "it is told that two have its client id");
  await visit(page, [`#/clients/${encodeURIComponent(about.victim)}`, "Last packets"]);
  assert(!(await page.run(() => document.querySelector("main").innerText.includes("How it comes"))), "of one that is well there is nothing to say");
  // One of them has no session to show.
  page.complaints = page.complaints.filter((text) => !text.includes("404"));
  await isUntouched(page);
}

/** What is offered to be typed reaches this broker. */
async function commands(page) {
  await signedIn(page);
  await visit(page, ["#/topics", "retained message"]);
  await page.enter("input[name=filter]", "nothing/here");
  await page.click("button", "Show");
  await page.reads(`mosquitto_pub -h 127.0.0.1 -p ${about.port} -r -t house/kitchen/temperature`);
  const lines = await page.run(async (base) => {
    const { commandOf, learn } = await import(`${base}/ui/listeners.js`);
    return [
      ["ws://0.0.0.0:80"],
      ["tls://[::]:8883", "tcp://[::1]:2883"],
      ["tls://broker.example:8883"],
      ["tcp://0.0.0.0:2883"],
    ].map((urls) => (learn(urls), commandOf("sub", "-v")));
  }, base);
  const listeners = await page.run(async (base) => {
    const { webSocketBeside } = await import(`${base}/ui/listeners.js`);
    return [webSocketBeside(["tcp://127.0.0.1:1883", "tcp://[::1]:1883"], true), webSocketBeside(["tcp://10.0.0.1:34861", "unix:///a:8083"], false)];
  }, base);
  const section = (url) => `[[listener]]\naddress = "${url}"`;
  assert.deepEqual(listeners, [
    ["tcp://127.0.0.1:1883", "tcp://[::1]:1883", "ws://127.0.0.1:8083"].map(section).join("\n\n"),
    section("ws://127.0.0.1:8084"),
  ]);
  assert.deepEqual(lines, [null, "sub -h ::1 -p 2883 -v", "sub -h broker.example -p 8883 --capath /etc/ssl/certs -v", "sub -h 127.0.0.1 -p 2883 -v"]);
  await isUntouched(page);
}

export const READINGS = { coming, commands, disk, leaving, charts, shards, client, log, lists, places };
