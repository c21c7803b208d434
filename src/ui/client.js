// One client: its connection, session, queue, what is in flight, its subscriptions, its last packets, what it lost and why, and what
// may be done to it.

import { Refusal, ask, askClient } from "./api.js";
import { chart } from "./chart.js";
import { confirm } from "./dialog.js";
import { button, facts, fill, h, link, raw, section, visible } from "./dom.js";
import { causeOf } from "./drops.js";
import { eventFeed } from "./events.js";
import { bytes, byteRate, count, expiry, latency, plural, rate, span } from "./format.js";
import { stateOf } from "./clients.js";
import { reasonText } from "./mqtt.js";
import { attempt, loading, poll } from "./poll.js";
import { renew } from "./renew.js";
import { subscriptionTable } from "./subscriptions.js";
import { pager, table } from "./table.js";
import { limitOf } from "./top.js";
import { whyForm } from "./why.js";

export const client = { title: "Client", show };

function show(place, { parts: [clientId], signal, problems, heading, tools, may, entitle }) {
  fill(heading, raw(clientId));
  entitle(clientId);
  const about = h("div", { class: "columns" });
  const traffic = trafficCharts();
  const subscriptions = subscriptionTable({ hasClient: false });
  const queue = queueOf(clientId, signal, problems);
  const inflight = waitingTable("Messages that wait for an acknowledgement", "Nothing is in flight.");
  const packets = packetList();
  const endedBefore = h("div");
  const losses = lossTables();
  const all = h("p", { class: "quiet", hidden: true });
  const more = h("p", { class: "quiet", hidden: true });
  const waiting = loading();
  const present = h("div", { hidden: true }, about, h("div", { class: "charts" }, traffic.elements));
  const held = h("div", { hidden: true },
    section("Lost messages", losses.element),
    section("Subscriptions", subscriptions.element, all),
    section("In flight", inflight.element, more),
    section("Queue", queue.element),
    section("Last packets", endedBefore, packets.element),
  );
  const elsewhere = ofOneThatIsAbsent(clientId);
  const body = h("div", { hidden: true },
    present,
    elsewhere,
    section("Why does it get a message, or not?", whyForm(clientId, signal)),
    held,
    eventsOf(clientId, signal, problems),
  );
  const coming = h("div");
  const ended = endedSession();
  const forgotten = h("p", { hidden: true }, "This client is not here and has no session, and nothing is remembered of one that has ended.");
  fill(place, h("p", null, link(["clients"], "All clients")), waiting, wholeName(clientId), forgotten, coming, ended.element, body);
  const refresh = async () => {
    // Also of one that is here: what it did in the session before says why it came again.
    const [seen, last] = await Promise.all([
      askClient("", clientId, { limit: rowsShown() }, signal).catch(absent),
      askClient("/packets", clientId, {}, signal).catch(absent),
    ]);
    waiting.remove();
    renew(coming, comingOf(seen ?? last));
    body.hidden = false;
    present.hidden = held.hidden = !seen;
    elsewhere.hidden = Boolean(seen);
    ended.show(seen ? null : last);
    forgotten.hidden = Boolean(seen ?? last);
    if (!seen) {
      fill(tools);
      return;
    }
    renew(about, connectionOf(seen), sessionOf(seen.client));
    traffic.show(seen.client.traffic);
    subscriptions.show(seen.subscriptions);
    all.hidden = seen.client.subscriptions <= seen.subscriptions.length;
    renew(all, link(["subscriptions"], `All ${count(seen.client.subscriptions)} subscriptions`, {}, { client_id: clientId }));
    queue.show(seen);
    losses.show(seen.losses);
    inflight.show(seen.inflight);
    more.hidden = seen.client.inflight <= seen.inflight.length;
    renew(more, `The first ${seen.inflight.length} of ${count(seen.client.inflight)}.`);
    renew(endedBefore, last?.ended ? howItEnded("The session before", last.ended) : null);
    packets.show([...(last?.packets ?? seen.packets)].reverse());
    renew(tools, may("operator") ? acts(seen.client, refresh) : null);
  };
  poll(signal, EVERY_MS, problems, refresh);
}

/** Nothing, where there is no session. */
function absent(error) {
  if (error instanceof Refusal && error.isAbsent) {
    return null;
  }
  throw error;
}

/** What is remembered of a client whose session has ended. */
function endedSession() {
  const about = h("div");
  const packets = packetList();
  const element = h("div", { hidden: true }, about, section("Last packets", packets.element));
  return {
    element,
    show(last) {
      // The client may have come back since its session was asked for.
      element.hidden = !last?.ended;
      if (!last?.ended) {
        return;
      }
      renew(about, section("The session has ended", howItEnded("It", last.ended)));
      packets.show([...last.packets].reverse());
    },
  };
}

/** That it is banned, is not let in, or comes again and again. */
function comingOf(seen) {
  const bans = seen?.bans ?? [];
  const pairs = [
    bans.length > 0 && [bans.length > 1 ? "Bans" : "Ban", [bans.map((ban) => h("p", null, visible(ban.text))), h("p", null, link(["bans"], "All bans, and their end"))]],
    seen?.barred && ["Bans of addresses", [visible(seen.barred.text), ". ", link(["events"], "Connections that are refused, as they come", {}, { kind: "refused" })]],
    seen?.refused && ["Let in", visible(seen.refused.text)],
    seen?.reconnects && ["Comes again", visible(seen.reconnects.text)],
  ].filter(Boolean);
  return pairs.length > 0 ? section("How it comes", facts(pairs)) : null;
}

/** Where else something may be known of a client that has no session. */
function ofOneThatIsAbsent(clientId) {
  const isShort = isOfAnAddress(clientId);
  const places = [
    isShort && link(["events"], "Its connections that are refused, as they come", {}, { kind: "refused", client_id: clientId }),
    isShort && link(["drops"], "What it has lost", {}, { client_id: clientId }),
    link(["bans"], "Bans"),
    link(["log"], "Log"),
  ].filter(Boolean);
  return section("Where else to look", h("ul", { class: "plain" }, places.map((one) => h("li", null, one))));
}

function isOfAnAddress(clientId) {
  return new TextEncoder().encode(encodeURIComponent(clientId)).length <= ADDRESS_MAX;
}

function howItEnded(which, { ago_s, why, left, packets }) {
  return facts([
    [`${which} ended`, `${span(ago_s)} ago: ${why}`],
    ...howItLeft(left),
    ["Packets of it", packets > 0 ? `the oldest ${count(packets)} below` : "none"],
  ]);
}

/** A client that was here, and is not any more. */
function howItLeft(left) {
  return left
    ? [["Left", [`${span(left.ago_s)} ago: `, raw(left.why)]], ["User, when it left", left.user ? raw(left.user) : "none"], ["Listener", raw(left.listener)]]
    : [];
}

/** What the heading has no room for. */
function wholeName(clientId) {
  return clientId.length <= NAME_SHOWN_MAX ? null : h(
    "details",
    null,
    h("summary", null, `The whole client id, ${count(clientId.length)} letters`),
    h("pre", { tabindex: "0", class: "payload", "aria-label": "Client id" }, visible(clientId)),
  );
}

/** The first page comes with everything else; further ones are asked for. */
function queueOf(clientId, signal, problems) {
  const none = h("p");
  const list = waitingTable("Messages that wait to be sent", none);
  const unseen = h("p", { class: "quiet", hidden: true });
  const showRows = (rows, onDisk) => {
    list.show(rows);
    unseen.hidden = onDisk === 0;
    renew(unseen, `${plural(onDisk, "message waits", "messages wait")} on disk alone, and ${onDisk === 1 ? "is" : "are"} not shown.`);
    renew(none, onDisk === 0 ? "Nothing waits." : "None of those that wait is in memory.");
  };
  let asked = null;
  const turn = () => attempt(signal, problems, async () => {
    asked = pages.cursor;
    const answer = await askClient("/queue", clientId, { cursor: asked, limit: rowsShown() }, signal);
    showRows(answer.queue, answer.on_disk);
    pages.show(answer.cursor);
  });
  const pages = pager(turn);
  return {
    element: h("div", null, list.element, unseen, pages.element),
    show(seen) {
      const onDisk = seen.client.queued_on_disk;
      if (seen.client.queued - onDisk > seen.queue.length || pages.cursor !== null) {
        turn();
      } else {
        showRows(seen.queue, onDisk);
        pages.show(null);
      }
    },
  };
}

function lossTables() {
  const times = [
    { title: "Messages", isNumber: true, isWide: true, cell: (loss) => count(loss.count) },
    { title: "First", isNumber: true, cell: (loss) => `${span(loss.first_ago_s)} ago` },
    { title: "Last", isNumber: true, cell: (loss) => `${span(loss.last_ago_s)} ago` },
  ];
  const causes = table({
    caption: "Lost messages, by cause",
    empty: "It has lost nothing since the broker was started.",
    columns: [{ title: "Cause", cell: causeOf }, ...times],
  });
  const topics = table({
    caption: "Topics that it lost something of last",
    columns: [
      { title: "Topic", cell: (loss) => (loss.topic ? raw(loss.topic) : h("span", { class: "quiet" }, "not known")) },
      { title: "Cause", cell: (loss) => h("code", null, loss.cause) },
      ...times,
    ],
  });
  return {
    element: h("div", { class: "several" }, causes.element, topics.element),
    show(losses) {
      causes.show(losses?.lost ?? []);
      topics.show(losses?.topics ?? []);
    },
  };
}

/** Not before somebody wants them: the broker has so many streams, and not more. */
function eventsOf(clientId, signal, problems) {
  if (!isOfAnAddress(clientId)) {
    return null;
  }
  const list = eventFeed({ hasClient: false });
  const place = h("div", null, button("Show its events as they happen", () => {
    fill(place, h("p", null, list.hold), list.element);
    list.listen(signal, problems, "/v1/events", { client_id: clientId });
  }));
  return section("Events", place);
}

function connectionOf({ client: seen, left }) {
  const { connection } = seen;
  const pairs = connection
    ? [
        ["State", stateOf(seen)],
        ["User", connection.user ? raw(connection.user) : "none"],
        ["Address", connection.address],
        ["Listener", connection.listener ? raw(connection.listener) : null],
        ["Protocol", `MQTT ${connection.version}`],
        ["Keep-alive", connection.keep_alive_s === 0 ? "none" : span(connection.keep_alive_s)],
        ["Silent for", span(connection.silent_s)],
        ["Receive maximum", count(connection.receive_maximum)],
        ["Not taken by the socket", bytes(connection.unsent_bytes)],
        connection.is_paused ? ["Not read", pauseOf(connection)] : null,
      ]
    : [["State", stateOf(seen)], ...(left ? howItLeft(left) : [seen.user ? ["User, when it left", raw(seen.user)] : null])];
  return section("Connection", facts(pairs));
}

function pauseOf({ paused_why: why, paused_by: by }) {
  return by ? [raw(why), " (", h("code", null, raw(by)), ")"] : raw(why);
}

function sessionOf(seen) {
  return section("Session", facts([
    ["Shard", seen.shard],
    ["Ends", expiry(seen.session_expiry_s)],
    seen.ends_in_s === null ? null : ["Ends in", span(seen.ends_in_s)],
    ["Subscriptions", count(seen.subscriptions)],
    ["Queued", `${count(seen.queued)} (${bytes(seen.queued_bytes)})`],
    seen.queued_on_disk > 0 ? ["Of these on disk alone", count(seen.queued_on_disk)] : null,
    ["In flight", seen.inflight_oldest_s === null ? count(seen.inflight) : `${count(seen.inflight)}, the oldest for ${span(seen.inflight_oldest_s)}`],
    ["QoS 2 not released", count(seen.unreleased)],
    ["Nearest limit", limitOf(seen)],
    seen.will_topic ? ["Will", raw(seen.will_topic)] : null,
    ["Received", `${plural(seen.traffic.packets_received, "packet", "packets")}, ${bytes(seen.traffic.bytes_received)}`],
    ["Sent", `${plural(seen.traffic.packets_sent, "packet", "packets")}, ${bytes(seen.traffic.bytes_sent)}`],
  ]));
}

/** Rates, from one answer to the next. */
function trafficCharts() {
  const samples = [];
  const of = (name) => (sample) => sample.rates?.[name];
  const charts = [
    { title: "Packets per second", format: rate, lines: [{ name: "received", value: of("packets_received") }, { name: "sent", value: of("packets_sent") }] },
    { title: "Bytes per second", format: byteRate, lines: [{ name: "received", value: of("bytes_received") }, { name: "sent", value: of("bytes_sent") }] },
  ].map(chart);
  const show = (traffic) => {
    const last = samples.at(-1);
    const at = performance.now();
    const change = (name) => Math.max(0, traffic[name] - last.traffic[name]) / ((at - last.at) / 1000);
    const rates = last && Object.fromEntries(Object.keys(traffic).map((name) => [name, change(name)]));
    samples.push({ at, moment: Date.now(), traffic, rates });
    samples.splice(0, samples.length - SAMPLES_MAX);
    charts.forEach((one) => one.show(samples));
  };
  return { elements: charts.map((one) => one.element), show };
}

function waitingTable(caption, empty) {
  return table({
    caption,
    empty,
    columns: [
      { title: "Topic", cell: (row) => raw(row.topic) },
      { title: "QoS", isNumber: true, cell: (row) => row.qos },
      { title: "Payload", isNumber: true, cell: (row) => bytes(row.payload_bytes) },
      { title: "Packet id", isNumber: true, cell: (row) => row.packet_id ?? "–" },
    ],
  });
}

/** On a phone each is a card: of many the newest stand there until somebody wants all. */
function packetList() {
  const list = packetTable();
  let rows = [];
  let isWhole = false;
  const more = button("", () => {
    isWhole = !isWhole;
    tell();
  }, { "data-focus": "packets" });
  const line = h("p", null, more);
  const tell = () => {
    const isLong = isNarrow() && rows.length > ROWS_NARROW;
    list.show(isLong && !isWhole ? rows.slice(0, ROWS_NARROW) : rows);
    line.hidden = !isLong;
    more.textContent = isWhole ? `Show the last ${ROWS_NARROW} packets` : `Show all ${count(rows.length)} packets`;
  };
  line.hidden = true;
  return {
    element: h("div", null, list.element, line),
    show(packets) {
      rows = packets;
      tell();
    },
  };
}

function packetTable() {
  return table({
    caption: "Last packets, the newest first",
    empty: "None is remembered: it has sent none since it came (CONNECT is never recorded), or session.recorded_packets is 0.",
    columns: [
      { title: "Packet", cell: (row) => h("code", null, row.kind) },
      { title: "Direction", cell: directionOf },
      { title: "Ago", isNumber: true, cell: (row) => span(row.ago_s) },
      { title: "Bytes", isNumber: true, cell: (row) => count(row.bytes) },
      { title: "Packet id", isNumber: true, cell: (row) => row.packet_id || "–" },
      { title: "Acknowledged in", isNumber: true, cell: (row) => (row.latency_s === null ? "–" : latency(row.latency_s)) },
      { title: "Details", cell: detailOf },
      { title: "Topic", isWide: true, cell: topicOf },
    ],
  });
}

function directionOf({ direction, unsent }) {
  if (direction === "received") {
    return "→ received";
  }
  return unsent ? "← never sent" : "← sent";
}

function topicOf({ topic, filter, filters }) {
  if (filters > 1) {
    return [raw(filter), ` and ${filters - 1} more`];
  }
  return topic || filter ? raw(topic ?? filter) : "–";
}

function detailOf({ qos, dup, retain, reason, unsaid_reason: unsaid }) {
  if (unsaid) {
    return `the message was refused, which only MQTT 5.0 can say: ${reasonText(unsaid)}`;
  }
  if (qos !== undefined && qos !== null) {
    return [`QoS ${qos}`, dup ? "dup" : "", retain ? "retain" : ""].filter(Boolean).join(", ");
  }
  return reason ? reasonText(reason) : "–";
}

function acts(seen, refresh) {
  const clientId = seen.client_id;
  const ask_about = (text, { title, explanation, verb, act, done }) =>
    button(text, () => confirm({
      title,
      text: [raw(clientId), ` ${explanation}`],
      verb,
      act: async () => {
        await act();
        // It may be that there is nothing left to show.
        await refresh().catch(() => {});
      },
      done,
    }), { "data-focus": text });
  return [
    seen.connection && ask_about("Disconnect", {
      title: "Disconnect this client?",
      explanation: "is told that it is by an operator, and may come back. Its session stays as long as it says.",
      verb: "Disconnect",
      act: () => askClient("/disconnect", clientId),
      done: "The client is disconnected.",
    }),
    seen.queued > 0 && ask_about("Empty the queue", {
      title: "Empty the queue of this client?",
      explanation: `loses ${count(seen.queued)} messages that wait for it.`,
      verb: "Empty the queue",
      act: () => purge(clientId),
      done: "The queue is empty.",
    }),
    ask_about("End the session", {
      title: "End the session of this client?",
      explanation: "is disconnected, and loses its subscriptions and everything that waits for it.",
      verb: "End the session",
      act: () => askClient("/kick", clientId),
      done: "The session has ended.",
    }),
    ask_about("Ban", {
      title: "Ban this client id?",
      explanation: "is disconnected and not let in again until the ban is lifted (page Bans).",
      verb: "Ban",
      act: () => ask("POST", "/v1/bans", { body: { client_id: clientId } }),
      done: "The client id is banned.",
    }),
  ];
}

/** What is dropped for one question is bounded. */
async function purge(clientId) {
  while ((await askClient("/purge", clientId)).is_partial) {
    // There is more.
  }
}

/** On a phone each is a card. */
function rowsShown() {
  return isNarrow() ? ROWS_NARROW : ROWS;
}

function isNarrow() {
  return matchMedia("(max-width: 44rem)").matches;
}

const EVERY_MS = 2000;
const ROWS = 20;
const ROWS_NARROW = 5;
/** As `raw` shows it. */
const NAME_SHOWN_MAX = 120;
/** Of a parameter in an address. */
const ADDRESS_MAX = 6000;
const SAMPLES_MAX = 90;
