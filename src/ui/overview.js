// The whole broker at one look: numbers, charts of the last minutes, shards, and what it is.

import { get } from "./api.js";
import { chart, sinceWhen } from "./chart.js";
import { facts, fill, h, link, raw, section } from "./dom.js";
import { byteRate, bytes, count, plural, rate, span } from "./format.js";
import { loading, poll } from "./poll.js";
import { renew } from "./renew.js";
import { commandOf, learn } from "./listeners.js";
import { dropped, follow, LOSSES, turnedAway, untaken } from "./samples.js";
import { shardTable } from "./shards.js";
import { emptiness } from "./dialog.js";

export const overview = { name: "", title: "Overview", show };

function show(place, { signal, problems }) {
  const tiles = h("div", { class: "tiles" });
  const charts = chartsOf();
  const shards = shardTable();
  const about = h("div");
  const hint = h("div", { hidden: true, class: "empty" });
  const waiting = loading();
  fill(
    place,
    waiting,
    tiles,
    hint,
    h("div", { class: "charts" }, charts.map((one) => one.element)),
    sinceWhen(),
    section("Shards", shards.element),
    section("Broker", about),
  );
  follow(signal, (samples) => {
    const sample = samples.at(-1);
    waiting.remove();
    renew(tiles, tilesOf(sample));
    hint.hidden = sample.total.gauges.connections > 0;
    renew(hint, nobody(sample.total));
    charts.forEach((one) => one.show(samples));
    shards.show(sample);
  });
  poll(signal, BROKER_EVERY_MS, problems, async () => {
    const broker = await get("/v1/broker", {}, signal);
    learn(broker.listeners);
    renew(about, aboutBroker(broker));
  });
}

/** Somebody may have been here, and messages may wait for him. */
function nobody({ gauges, counters }) {
  const wasHere = counters.packets_received > 0 || gauges.sessions > 0;
  const sessions = gauges.sessions > 0 ? `; ${plural(gauges.sessions, "session waits for its client", "sessions wait for their clients")}` : "";
  return emptiness(`Nobody is connected ${wasHere ? `now${sessions}. A` : "yet. A first"} client:`, commandOf("mosquitto_sub", "-t '#' -v"));
}

function tilesOf({ total, rates }) {
  const { gauges, counters } = total;
  const tile = (name, value, more, place, query) => {
    const spoken = (sign) => h("span", { class: "unseen" }, sign);
    const inside = [h("span", { class: "name" }, name, spoken(": ")), h("span", { class: "value" }, value, spoken(", ")), h("span", { class: "more" }, more)];
    return place ? link(place, inside, { class: "tile", "data-focus": name }, query) : h("div", { class: "tile" }, inside);
  };
  const perSecond = (name) => (rates ? rate(rates[name]) : "–");
  return [
    tile("Connections", count(gauges.connections), plural(gauges.sessions, "session", "sessions"), ["clients"]),
    tile("Messages in/s", perSecond("publish_received"), `${count(counters.publish_received)} so far`),
    tile("Messages out/s", perSecond("publish_sent"), `${count(counters.publish_sent)} so far`),
    tile("Lost to clients/s", rates ? rate(dropped(rates)) : "–", `${count(dropped(counters))} so far`, ["drops"]),
    tile("Not taken in/s", rates ? rate(untaken(rates)) : "–", `${count(untaken(counters))} so far`, ["drops"]),
    tile("Refused connections/s", rates ? rate(turnedAway(rates)) : "–", `${count(turnedAway(counters))} so far`, ["drops"], { show: "refused" }),
    tile("Subscriptions", count(gauges.subscriptions), plural(gauges.filters, "filter", "filters"), ["subscriptions"]),
    tile("Retained", count(gauges.retained_messages), bytes(gauges.retained_bytes), ["topics"]),
    tile("Queued, in flight", bytes(gauges.queued_bytes + gauges.queued_away_bytes), `${bytes(gauges.unsent_bytes)} unsent`),
    gauges.store_file_bytes > 0
      ? tile("Store on disk", bytes(gauges.store_file_bytes), gauges.store_full > 0 ? "full: only QoS 0 is taken in" : `${bytes(gauges.queued_away_bytes)} queued there alone`, ["shards"])
      : null,
  ];
}

function chartsOf() {
  const of = (name) => (sample) => sample.rates?.[name];
  const held = (name) => (sample) => sample.total?.gauges[name];
  const charts = [
    {
      title: "Messages per second",
      format: rate,
      lines: [{ name: "in", value: of("publish_received") }, { name: "out", value: of("publish_sent") }],
    },
    {
      title: "Bytes per second",
      format: byteRate,
      lines: [{ name: "in", value: of("bytes_received") }, { name: "out", value: of("bytes_sent") }],
    },
    {
      title: "Connections",
      format: count,
      lines: [{ name: "connected", value: held("connections") }, { name: "sessions", value: held("sessions") }],
    },
    LOSSES,
  ];
  return charts.map(chart);
}

function aboutBroker(broker) {
  const listeners = (broker.listeners ?? []).map((listener) => h("li", null, raw(listener)));
  return facts([
    ["Version", broker.version],
    ["Stage", broker.stage],
    ["Running for", span(broker.uptime_s)],
    ["Free on the disk of the store", broker.store_disk_free_bytes === null ? null : bytes(broker.store_disk_free_bytes)],
    ["Process", broker.pid],
    ["Shards", broker.shards],
    listeners.length > 0 ? ["Listeners", h("ul", { class: "plain" }, listeners)] : null,
  ]);
}

const BROKER_EVERY_MS = 10_000;
