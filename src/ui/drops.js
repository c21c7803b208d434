// What was lost or refused, by cause.

import { chart } from "./chart.js";
import { fill, h, section } from "./dom.js";
import { count, rate } from "./format.js";
import { loading } from "./poll.js";
import { CAUSES, dropped, follow, REFUSALS } from "./samples.js";
import { table } from "./table.js";

export const drops = { name: "drops", title: "Drops", show };

function show(place, { signal }) {
  const curve = chart({
    title: "Dropped per second",
    format: rate,
    lines: [{ name: "dropped", value: (sample) => (sample.rates ? dropped(sample.rates) : undefined) }],
  });
  const lost = causeTable("Messages that were lost, by cause", "Nothing was lost since the broker was started.");
  const refused = causeTable("What was refused, by cause", "Nothing was refused since the broker was started.");
  const waiting = loading();
  fill(
    place,
    waiting,
    h("div", { class: "charts" }, curve.element),
    section("Lost messages", lost.element),
    section("Refused", refused.element),
  );
  follow(signal, (samples) => {
    const sample = samples.at(-1);
    waiting.remove();
    curve.show(samples);
    lost.show(rowsOf(sample, CAUSES));
    refused.show(rowsOf(sample, REFUSALS));
  });
}

/** Those that have happened, the most frequent first. */
function rowsOf({ total, rates, shards }, causes) {
  return Object.entries(causes)
    .filter(([name]) => total.counters[name] > 0)
    .map(([name, text]) => ({
      name,
      text,
      total: total.counters[name],
      rate: rates?.[name],
      byShard: shards.map((shard) => shard.counters[name] ?? 0),
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
