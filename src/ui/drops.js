// What was lost or refused: by cause, by client, by topic, with first and last time.

import { get } from "./api.js";
import { chart, sinceWhen } from "./chart.js";
import { field, fill, h, link, raw, section } from "./dom.js";
import { count, rate, span } from "./format.js";
import { loading, poll } from "./poll.js";
import { causesOf, follow, LOSSES, REFUSALS } from "./samples.js";
import { pager, settled, table } from "./table.js";

export const drops = { name: "drops", title: "Drops", show };

function show(place, { signal, problems, query }) {
  const curve = chart(LOSSES);
  const lost = causeTable("Messages that were lost, by cause", "Nothing was lost since the broker was started.");
  const untaken = causeTable("Messages that were not taken in from their publishers, by cause", "Each message was taken in since the broker was started.");
  const refused = causeTable("What was refused, by cause", "Nothing was refused since the broker was started.");
  const waiting = loading();
  const clientId = h("input", { type: "search", name: "client_id", value: query.get("client_id") ?? "", autocomplete: "off", spellcheck: "false" });
  const prefix = h("input", { type: "search", name: "prefix", value: query.get("prefix") ?? "", autocomplete: "off", spellcheck: "false" });
  const [byClient, byTopic] = [h("div", { class: "problems" }), h("div", { class: "problems" })];
  const clients = ledger(signal, byClient, {
    path: "/v1/drops",
    name: "clients",
    asked: () => ({ client_id: clientId.value }),
    title: "Client",
    caption: "Lost messages, by client",
    empty: () => (clientId.value === "" ? "No client has lost anything since the broker was started." : "No client like that has lost anything."),
    cell: (row) => link(["clients", row.client_id], raw(row.client_id), { "data-focus": row.client_id }),
  });
  const topics = ledger(signal, byTopic, {
    path: "/v1/drops/topics",
    name: "prefixes",
    asked: () => ({ prefix: prefix.value }),
    title: "Topics beneath",
    caption: "Lost messages, by the first levels of their topics",
    empty: () => (prefix.value === "" ? "Nothing was lost on any topic since the broker was started." : "Nothing was lost on topics like that."),
    cell: (row) => (row.prefix === "" ? h("span", { class: "quiet" }, "not known") : raw(row.prefix)),
  });
  clientId.addEventListener("input", settled(clients.restart));
  prefix.addEventListener("input", settled(topics.restart));
  const search = (title, input) => h("form", { class: "filters", role: "search", "aria-label": title, onsubmit: (event) => event.preventDefault() }, field(title, input));
  const others = h("p", { class: "quiet", hidden: true });
  const refusals = section("Refused", refused.element);
  const isFirst = query.get("show") === "refused";
  fill(
    place,
    waiting,
    h("div", { class: "charts" }, curve.element),
    sinceWhen(),
    isFirst ? refusals : null,
    section("Lost messages", lost.element),
    section("Messages not taken in", untaken.element),
    section("By client", search("Client id contains", clientId), byClient, clients.element),
    section("By topic", search("First levels contain", prefix), byTopic, topics.element, others),
    isFirst ? null : refusals,
  );
  follow(signal, (samples) => {
    const sample = samples.at(-1);
    waiting.remove();
    curve.show(samples);
    lost.show(rowsOf(sample, causesOf("out")));
    untaken.show(rowsOf(sample, causesOf("in")));
    refused.show(rowsOf(sample, REFUSED));
  });
  clients.restart();
  topics.restart();
  poll(signal, EVERY_MS, problems, async () => {
    const text = othersOf(await get("/v1/drops/others", {}, signal));
    others.hidden = text === "";
    fill(others, text);
  });
}

/** A list of the ledger, page by page: a line for each cause of each client or prefix. */
function ledger(signal, problems, { path, name, asked, title, caption, empty, cell }) {
  const none = h("p");
  const list = table({
    caption,
    empty: none,
    columns: [
      { title, cell: (row) => cell(row.of) },
      { title: "Cause", isWide: true, cell: ({ loss }) => causeOf(loss) },
      { title: "Messages", isNumber: true, isWide: true, cell: ({ loss }) => count(loss.count) },
      { title: "First", isNumber: true, cell: ({ loss }) => `${span(loss.first_ago_s)} ago` },
      { title: "Last", isNumber: true, cell: ({ loss }) => `${span(loss.last_ago_s)} ago` },
    ],
  });
  let asking = new AbortController();
  const turn = () => {
    asking.abort();
    asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    poll(both, EVERY_MS, problems, async () => {
      const answer = await get(path, { ...asked(), cursor: pages.cursor, limit: ROWS }, both);
      fill(none, empty());
      list.show(answer[name].flatMap((of) => of.lost.map((loss) => ({ of, loss }))));
      pages.show(answer.cursor);
    });
  };
  const pages = pager(turn);
  return { element: h("div", null, list.element, pages.element), restart: () => (pages.reset(), turn()) };
}

/** Why, in words and by the name of the cause. */
export function causeOf(loss) {
  return [loss.why, " ", h("code", { class: "quiet" }, loss.cause)];
}

/** What makes the sums those of the counters. */
function othersOf(answer) {
  const sum = (losses) => losses.reduce((total, loss) => total + loss.count, 0);
  const parts = [
    [sum(answer.other_clients), "of clients that are not listed any more"],
    [sum(answer.of_operators), "that operators published"],
    [sum(answer.of_nobody), "that were for nobody yet"],
    [sum(answer.other_prefixes), "on topics that are not listed any more"],
  ].filter(([number]) => number > 0);
  return parts.length > 0 ? `Besides these: ${parts.map(([number, text]) => `${count(number)} ${text}`).join(", ")}.` : "";
}

const REFUSED = Object.entries(REFUSALS).map(([counter, text]) => ({ counter, name: counter, text }));

/** Those that have happened, the most frequent first. */
function rowsOf({ total, rates, shards }, causes) {
  return causes
    .filter(({ counter }) => total.counters[counter] > 0)
    .map(({ counter, name, text }) => ({
      name,
      text,
      total: total.counters[counter],
      rate: rates?.[counter],
      byShard: shards.map((shard) => shard.counters[counter] ?? 0),
    }))
    .sort((one, other) => other.total - one.total);
}

function causeTable(caption, empty) {
  return table({
    caption,
    empty,
    columns: [
      { title: "Cause", cell: (row) => [row.text, " ", h("code", { class: "quiet" }, row.name)] },
      { title: "Total", isNumber: true, cell: (row) => count(row.total) },
      { title: "Per second", isNumber: true, cell: (row) => (row.rate === undefined ? "–" : rate(row.rate)) },
      { title: "By shard", isNumber: true, isWide: true, cell: (row) => row.byShard.map(count).join(" · ") },
    ],
  });
}

const ROWS = 50;
const EVERY_MS = 5000;
