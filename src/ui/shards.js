// What each shard holds and does, and every counter that there is.

import { fill, h, section } from "./dom.js";
import { bytes, count, rate } from "./format.js";
import { loading } from "./poll.js";
import { follow } from "./samples.js";
import { table } from "./table.js";

export const shards = { name: "shards", title: "Shards", show };

function show(place, { signal }) {
  const now = shardTable();
  const held = heldTable();
  const store = storeTable();
  const counters = counterTable();
  const search = h("input", { type: "search", placeholder: "dropped", "aria-label": "Counters whose name contains" });
  const waiting = loading();
  let last = null;
  const write = () => {
    if (last) {
      counters.show(countersOf(last).filter((row) => row.name.includes(search.value.trim().toLowerCase())));
    }
  };
  search.addEventListener("input", write);
  fill(
    place,
    h("p", { class: "about" }, "Each shard runs on a core of its own and has clients of its own: those whose client ids it is the home of."),
    waiting,
    section("Now", now.element),
    section("Held", held.element),
    section("Store", store.element),
    section("Counters", h("div", { class: "filters" }, search), counters.element),
  );
  follow(signal, (samples) => {
    last = samples.at(-1);
    waiting.remove();
    now.show(last);
    held.show(last);
    store.show(last);
    write();
  });
}

/** One line for each shard, with what it does per second. */
export function shardTable() {
  const perSecond = (name, format = rate) => ({ isNumber: true, cell: (row) => (row.rates ? format(row.rates[name]) : "–") });
  const gauge = (name, format = count) => ({ isNumber: true, cell: (row) => format(row.gauges[name]) });
  const { element, show } = table({
    caption: "Shards",
    columns: [
      { title: "Shard", cell: (row) => row.shard },
      { title: "Connections", ...gauge("connections") },
      { title: "Messages in/s", ...perSecond("publish_received") },
      { title: "Messages out/s", ...perSecond("publish_sent") },
      { title: "In/s", ...perSecond("bytes_received", bytes) },
      { title: "Out/s", ...perSecond("bytes_sent", bytes) },
      { title: "Mail/s", ...perSecond("mail_sent") },
      { title: "Mail waiting", ...gauge("mail_pending") },
      { title: "Queued", isNumber: true, cell: ({ gauges }) => bytes(gauges.queued_bytes + gauges.queued_away_bytes) },
    ],
  });
  const rows = (sample) => sample.shards.map((shard, at) => ({ ...shard, rates: sample.shardRates?.[at] }));
  return { element, show: (sample) => show(rows(sample)) };
}

function heldTable() {
  const { element, show } = table({
    caption: "What each shard holds",
    columns: [
      { title: "Shard", cell: (row) => row.shard },
      heldColumn("Sessions", "sessions"),
      heldColumn("Subscriptions", "subscriptions"),
      heldColumn("Filters", "filters"),
      heldColumn("Retained", "retained_messages"),
      heldColumn("Retained bytes", "retained_bytes", bytes),
      heldColumn("Session bytes", "session_bytes", bytes),
      heldColumn("Unsent", "unsent_bytes", bytes),
      heldColumn("Unfinished", "receive_bytes", bytes),
      heldColumn("Timers", "timers"),
    ],
  });
  return { element, show: (sample) => show(sample.shards) };
}

/** Of a broker that stores nothing, all of it is nothing. */
function storeTable() {
  const { element, show } = table({
    caption: "What the store of each shard has",
    columns: [
      { title: "Shard", cell: (row) => row.shard },
      heldColumn("Messages", "stored_messages"),
      heldColumn("Still needed", "stored_live_bytes", bytes),
      heldColumn("Queued there alone", "queued_away_bytes", bytes),
      heldColumn("Takes of the disk", "store_file_bytes", bytes),
      { title: "Room", cell: (row) => (row.gauges.store_full > 0 ? "full: only QoS 0 is taken in" : "–") },
    ],
  });
  return { element, show: (sample) => show(sample.shards) };
}

function heldColumn(title, name, format = count) {
  return { title, isNumber: true, cell: (row) => format(row.gauges[name] ?? 0) };
}

function counterTable() {
  return table({
    caption: "Counters of all shards together",
    empty: "No counter has such a name.",
    columns: [
      { title: "Counter", cell: (row) => h("code", null, row.name) },
      { title: "Total", isNumber: true, cell: (row) => count(row.total) },
      { title: "Per second", isNumber: true, cell: (row) => (row.rate === undefined ? "–" : rate(row.rate)) },
      { title: "By shard", isNumber: true, isWide: true, cell: (row) => row.byShard.map(count).join(" · ") },
    ],
  });
}

function countersOf({ total, rates, shards }) {
  return Object.entries(total.counters).map(([name, value]) => ({
    name,
    total: value,
    rate: rates?.[name],
    byShard: shards.map((shard) => shard.counters[name] ?? 0),
  }));
}
