// Retained messages as a tree of their topics, and the value of one.

import { ask, get } from "./api.js";
import { confirm, emptiness, form } from "./dialog.js";
import { button, facts, field, fill, h, link, raw } from "./dom.js";
import { bytes, count, decoded, payload, plural, span } from "./format.js";
import { attempt, loading, pause } from "./poll.js";
import { grown, tree } from "./tree.js";

export const topics = { name: "topics", title: "Topics", show };

function show(place, { signal, problems, query, may }) {
  const filter = h("input", { type: "search", name: "filter", value: query.get("filter") ?? "#", required: true, autocomplete: "off", spellcheck: "false" });
  const list = h("div", { class: "tree-frame" });
  const value = h("div", { class: "value-frame", "aria-live": "polite" }, h("p", { class: "quiet" }, "Choose a topic to see its message."));
  const summary = h("p", { class: "quiet" });
  const choose = (topic) => showValue(value, topic, { signal, may, changed: read });
  const explorer = tree({ label: "Retained topics", choose });

  const read = () => attempt(signal, problems, async () => {
    fill(list, loading());
    const { messages, isCut } = await retained(filter.value, signal);
    fill(summary, isCut ? `The first ${count(messages.length)}: a narrower filter shows others.` : plural(messages.length, "retained message", "retained messages"));
    explorer.show(grown(messages.map((message) => message.topic)), messages.length <= OPEN_UP_TO);
    fill(list, messages.length > 0 ? explorer.element : h("div", { class: "empty" }, emptiness(
      "No retained message matches. A first one:", `mosquitto_pub -h ${location.hostname} -r -t house/kitchen/temperature -m 21.5`)));
  });
  const search = form({
    signal,
    isOfOneLine: true,
    fields: [field("Topic filter", filter)],
    verb: "Show",
    act: read,
  });
  const drop = may("operator") ? button("Delete what matches", () => confirmDeletion(filter.value, read)) : null;
  fill(place, h("div", { class: "filters" }, search, drop), summary, h("div", { class: "split" }, list, value));
  read();
}

/** As many as a page can show; the answer comes in parts. */
async function retained(filter, signal) {
  const messages = [];
  let cursor;
  do {
    const answer = await get("/v1/retained", { filter, cursor, limit: PAGE }, signal);
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
    const message = await get("/v1/retained/one", { topic }, signal);
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
            await ask("DELETE", `/v1/retained?${new URLSearchParams({ filter: topic })}`);
            fill(place);
            changed();
          },
          done: "The retained message is deleted.",
        })) : null),
    );
  }).then((isDone) => isDone || fill(place, h("p", { class: "quiet" }, "There is no such message any more.")));
}

function confirmDeletion(filter, changed) {
  confirm({
    title: "Delete all retained messages that match?",
    text: raw(filter),
    verb: "Delete them",
    act: async () => {
      await ask("DELETE", `/v1/retained?${new URLSearchParams({ filter })}`);
      changed();
    },
    done: "The retained messages are deleted.",
  });
}

const PAGE = 500;
const TOPICS_MAX = 5000;
/** A small tree is shown with all its branches. */
const OPEN_UP_TO = 40;
