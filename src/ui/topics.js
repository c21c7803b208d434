// Topics as a tree: retained messages with their values, and, while somebody measures, how often each topic is published to.

import { ask, get, stream } from "./api.js";
import { confirm, emptiness, form } from "./dialog.js";
import { button, choice, facts, field, fill, h, link, raw, section } from "./dom.js";
import { bytes, count, decoded, payload, plural, span } from "./format.js";
import { commandOf } from "./listeners.js";
import { attempt, loading, pause, poll } from "./poll.js";
import { liveRates } from "./rates.js";
import { table } from "./table.js";
import { grown, tree } from "./tree.js";

export const topics = { name: "topics", title: "Topics", show };

function show(place, { signal, problems, query, may }) {
  const filter = h("input", { type: "search", name: "filter", value: query.get("filter") ?? "#", required: true, autocomplete: "off", spellcheck: "false" });
  const list = h("div", { class: "tree-frame" });
  const value = h("div", { class: "value-frame", "aria-live": "polite" }, h("p", { class: "quiet" }, "Choose a topic to see its message."));
  const summary = h("p", { class: "quiet" });
  const measured = h("p", { class: "quiet", role: "status", hidden: true });
  const choose = (topic) => showValue(value, topic, { signal, may, changed: read });
  const rates = liveRates();
  const explorer = tree({ label: "Topics", choose, note: (path) => rates.note(path) });
  let kept = [];
  let asking = new AbortController();

  const grow = () => {
    const topics = [...new Set([...kept, ...rates.topics()])].sort();
    explorer.renew(grown(topics));
    fill(list, topics.length > 0 ? explorer.element : none());
  };
  const read = () => attempt(signal, problems, async () => {
    fill(list, loading());
    const { messages, isCut } = await retained(filter.value, signal);
    fill(summary, isCut ? `The first ${count(messages.length)}: a narrower filter shows others.` : plural(messages.length, "retained message", "retained messages"));
    kept = messages.map((message) => message.topic);
    explorer.show(grown(kept), kept.length <= OPEN_UP_TO);
    grow();
  });
  const measure = () => {
    asking.abort();
    asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    rates.reset();
    measured.hidden = false;
    follow(both, problems, filter.value, rates);
    rates.tick(both, (hasMore) => {
      hasMore ? grow() : explorer.renote();
      fill(measured, rates.summary());
    });
  };
  const isMeasuring = () => measure_it.getAttribute("aria-pressed") === "true";
  const measure_it = button("Measure rates", () => {
    const isOn = !isMeasuring();
    measure_it.setAttribute("aria-pressed", String(isOn));
    if (isOn) {
      measure();
    } else {
      asking.abort();
      rates.reset();
      measured.hidden = true;
      grow();
    }
  }, { "aria-pressed": "false" });
  const search = form({
    signal,
    isOfOneLine: true,
    fields: [field("Topic filter", filter)],
    verb: "Show",
    act: async () => {
      await read();
      if (isMeasuring()) {
        measure();
      }
    },
  });
  const drop = may("operator") ? button("Delete what matches", () => attempt(signal, problems, () => confirmDeletion(filter.value, signal, read))) : null;
  const prefixes = prefixTable();
  const by = choice("by", PREFIXES_BY, "topics");
  fill(
    place,
    h("div", { class: "filters" }, search, measure_it, drop),
    summary,
    measured,
    h("div", { class: "split" }, list, value),
    section("Where topics become more", h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, field("Sorted by", by)), prefixes.element),
  );
  read();
  let sorting = new AbortController();
  const sort = () => {
    sorting.abort();
    sorting = new AbortController();
    const both = AbortSignal.any([signal, sorting.signal]);
    poll(both, PREFIXES_EVERY_MS, problems, async () => {
      const answer = await get("/v1/prefixes", { by: by.value, limit: PREFIXES }, both);
      prefixes.show(answer.prefixes);
    });
  };
  by.addEventListener("change", sort);
  sort();
}

function none() {
  return h("div", { class: "empty" }, emptiness(
    "No retained message matches. A first one:", commandOf("mosquitto_pub", "-r -t house/kitchen/temperature -m 21.5")));
}

/** The first levels of topics, and what there is beneath each: how much, and how much more than a while ago. */
function prefixTable() {
  const change = (value, seconds) => (value ? h("span", { class: "quiet" }, ` ${value > 0 ? "+" : "−"}${count(Math.abs(value))} in ${span(seconds)}`) : null);
  const column = (title, number, grown, seconds) => ({
    title,
    isNumber: true,
    isWide: true,
    cell: (row) => (row[number] === 0 && !row[grown] ? "–" : [count(row[number]), change(row[grown], row[seconds])]),
  });
  // Out of one in sixteen: of a few topics nobody knows how many they are.
  const estimate = (row) => (row.topics < ESTIMATED_FROM ? `< ${ESTIMATED_FROM}` : [`about ${count(row.topics)}`, row.grown < ESTIMATED_FROM ? null : change(row.grown, row.grown_in_s)]);
  return table({
    caption: "The first levels of topics",
    empty: "There are no topics yet.",
    columns: [
      { title: "Beneath", cell: (row) => beneath(row.prefix) },
      { title: "Topics published to", isNumber: true, isWide: true, cell: (row) => (row.topics === 0 ? "–" : estimate(row)) },
      column("Levels that follow, at least", "levels", "levels_grown", "grown_in_s"),
      column("Retained messages", "retained", "retained_grown", "kept_grown_in_s"),
      column("Subscriptions", "subscriptions", "subscriptions_grown", "kept_grown_in_s"),
    ],
  });
}

/** Sums stand under the filters that match what they are of. */
function beneath(prefix) {
  const names = { "": "(empty level)", "#": "# (all topics)" };
  return raw(names[prefix] ?? prefix);
}

/** Messages that clients publish, as they come; until the signal ends it. */
async function follow(signal, problems, filter, rates) {
  while (!signal.aborted) {
    await attempt(signal, problems, async () => {
      for await (const line of stream("/v1/published", { topic: filter }, signal)) {
        if (line !== "") {
          rates.take(JSON.parse(line));
        }
      }
    });
    await pause(AGAIN_MS, signal);
  }
}

/** As many as a page can show; the answer comes in parts. */
async function retained(filter, signal) {
  const messages = [];
  let cursor;
  do {
    const answer = await ask("POST", "/v1/retained", { body: { filter, cursor, limit: PAGE }, signal });
    messages.push(...answer.retained);
    cursor = answer.cursor;
    // Between two parts others are served.
    await pause(0, signal);
  } while (cursor && messages.length < TOPICS_MAX && !signal.aborted);
  return { messages, isCut: Boolean(cursor) };
}

function showValue(place, topic, { signal, may, changed }) {
  fill(place, loading());
  return attempt(signal, h("div"), async () => {
    const message = await ask("POST", "/v1/retained/one", { body: { topic }, signal });
    const content = decoded(message.payload_base64);
    const { kind, text } = payload(content);
    fill(
      place,
      h("h2", null, raw(topic)),
      facts([
        ["QoS", message.qos],
        ["Payload", `${bytes(content.length)}, ${content.length === 0 ? "nothing" : kind}`],
        message.expires_in_s === null ? null : ["Expires in", span(message.expires_in_s)],
      ]),
      h("pre", { tabindex: "0", class: "payload", "aria-label": "Payload" }, text),
      h("div", { class: "actions" },
        link(["publish", topic], "Publish or subscribe here", { class: "button" }),
        may("operator") ? button("Delete", () => confirm({
          title: "Delete this retained message?",
          text: raw(topic),
          verb: "Delete",
          act: async () => {
            await deleteMatching(topic);
            fill(place);
            changed();
          },
          done: "The retained message is deleted.",
        })) : null),
    );
  }).then((isDone) => {
    if (!isDone) {
      fill(
        place,
        h("h2", null, raw(topic)),
        h("p", { class: "quiet" }, "No message is retained here."),
        h("div", { class: "actions" }, link(["publish", topic], "Publish or subscribe here", { class: "button" })),
      );
    }
    // On a phone it stands below the tree.
    place.scrollIntoView({ block: "nearest" });
  });
}

/** How many those are is asked now: the filter may be another one than what is shown. */
async function confirmDeletion(filter, signal, changed) {
  const { messages, isCut } = await retained(filter, signal);
  const number = `${isCut ? "more than " : ""}${plural(messages.length, "retained message", "retained messages")}`;
  confirm({
    title: `Delete ${number}?`,
    text: [raw(filter), ` matches ${isCut ? "them all" : `${number} now`}. They are gone for those who subscribe later.`],
    verb: "Delete them",
    act: async () => {
      await deleteMatching(filter);
      changed();
    },
    done: "The retained messages are deleted.",
  });
}

/** What is dropped for one question is bounded. */
async function deleteMatching(filter) {
  while ((await ask("POST", "/v1/retained/drop", { body: { filter } })).is_partial) {
    // There are more.
  }
}

const PAGE = 500;
const TOPICS_MAX = 5000;
/** A small tree is shown with all its branches. */
const OPEN_UP_TO = 40;
const PREFIXES_BY = [
  ["topics", "Topics published to"],
  ["grown", "More topics"],
  ["retained", "Retained messages"],
  ["retained_grown", "More retained messages"],
  ["subscriptions", "Subscriptions"],
  ["subscriptions_grown", "More subscriptions"],
];
const PREFIXES = 50;
/** The broker's estimates are of some use from so many topics on. */
const ESTIMATED_FROM = 50;
const PREFIXES_EVERY_MS = 10_000;
const AGAIN_MS = 3000;
