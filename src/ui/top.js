// Clients by what they send, get, hold, and are near to: top talkers, slow subscribers, and who is near which limit.

import { get } from "./api.js";
import { emptiness } from "./dialog.js";
import { choice, field, fill, h, link, raw } from "./dom.js";
import { byteRate, bytes, count, rate, span } from "./format.js";
import { loading, poll } from "./poll.js";
import { table } from "./table.js";

export const top = { name: "top", title: "Busiest", show };

function show(place, { signal, problems, query }) {
  const by = choice("by", Object.entries(MEASURES).map(([name, { title }]) => [name, title]), query.get("by") ?? "bytes");
  const partial = h("p", { class: "quiet", hidden: true }, "There are more clients than were looked at.");
  const waiting = loading();
  const tables = h("div");
  let asking = new AbortController();
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    const measure = MEASURES[by.value];
    const list = topTable(measure);
    fill(tables, waiting, list.element);
    poll(both, EVERY_MS, problems, async () => {
      const answer = await get("/v1/top", { by: by.value, limit: ROWS, over_s: measure.isRate ? OVER_S : null }, both);
      waiting.remove();
      partial.hidden = !answer.is_partial;
      list.show(answer.clients);
    });
  };
  by.addEventListener("change", restart);
  const filters = h("form", { class: "filters", onsubmit: (event) => event.preventDefault() }, field("Sorted by", by));
  fill(place, filters, partial, tables);
  restart();
}

function topTable({ title, format, isRate, isTold }) {
  const valueOf = (row) => format(isRate ? row.value / OVER_S : row.value);
  return table({
    caption: `Clients by ${title.toLowerCase()}`,
    empty: emptiness("No client has any of this now."),
    columns: [
      { title: "Client", cell: ({ client }) => link(["clients", client.client_id], raw(client.client_id), { "data-focus": client.client_id }) },
      isTold ? null : { title, isNumber: true, cell: valueOf },
      { title: "Nearest limit", isWide: true, cell: ({ client }) => limitOf(client) },
      { title: "User", cell: ({ client }) => (client.connection?.user ? raw(client.connection.user) : "–") },
      { title: "Address", isWide: true, cell: ({ client }) => client.connection?.address ?? "away" },
    ].filter(Boolean),
  });
}

/** How much of which limit is used. */
export function limitOf(client) {
  const { limit, used } = client.nearest_limit;
  if (!(used >= SHOWN_FROM)) {
    return "–";
  }
  const meter = h("meter", { min: 0, max: 1, high: 0.8, value: Math.min(used, 1), "aria-hidden": "true" });
  return h("span", { class: "limit" }, meter, ` ${Math.round(used * 100)} % of `, h("code", null, limit));
}

/** In the words of the API. */
const MEASURES = {
  bytes: { title: "Bytes per second, both ways", format: byteRate, isRate: true },
  packets: { title: "Packets per second, both ways", format: rate, isRate: true },
  bytes_sent: { title: "Bytes to it per second", format: byteRate, isRate: true },
  bytes_received: { title: "Bytes from it per second", format: byteRate, isRate: true },
  packets_sent: { title: "Packets to it per second", format: rate, isRate: true },
  packets_received: { title: "Packets from it per second", format: rate, isRate: true },
  queued: { title: "Messages that wait", format: count },
  queued_bytes: { title: "Bytes that wait", format: bytes },
  inflight: { title: "Not acknowledged", format: count },
  unsent_bytes: { title: "Not taken by its socket", format: bytes },
  subscriptions: { title: "Subscriptions", format: count },
  silent_s: { title: "Silent for", format: span },
  inflight_s: { title: "Longest not acknowledged", format: span },
  ended: { title: "Connections ended lately", format: count },
  taken_over: { title: "Taken over lately", format: count },
  limit: { title: "Nearest to a limit", isTold: true },
};
const OVER_S = 2;
/** Less than half of a hundredth is nothing. */
const SHOWN_FROM = 0.005;
const ROWS = 50;
const EVERY_MS = 3000;
