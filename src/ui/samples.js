// What the shards have counted and hold, every two seconds while somebody looks, and the rates that follow from it.

import { get } from "./api.js";
import { rate } from "./format.js";
import { poll } from "./poll.js";

/** Between two questions. */
const EVERY_MS = 2000;
/** Five minutes. */
const SAMPLES_MAX = 150;
/** Samples that are so far apart are not one line. */
const GAP_MIN_MS = 4 * EVERY_MS;

const samples = [];
/** There was no answer since the last sample: the broker may be another one, whatever it has counted. */
let isBroken = false;
let causes = [];
const listeners = new Set();

/** Asks until the signal ends it. What goes wrong is shown at `place`. */
export function begin(signal, place) {
  samples.length = 0;
  return poll(signal, EVERY_MS, place, async () => {
    if (causes.length === 0) {
      ({ causes } = await get("/v1/drops/causes", {}, signal));
    }
    add(performance.now(), await shardsNow(signal));
    for (const listener of listeners) {
      listener(samples);
    }
  });
}

async function shardsNow(signal) {
  try {
    return (await get("/v1/shards", {}, signal)).shards;
  } catch (error) {
    isBroken = true;
    throw error;
  }
}

/** Calls back with all samples at once and with each further one, until the signal ends it. Some of them are gaps, the last one never is. */
export function follow(signal, listener) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener), { once: true });
  if (samples.length > 0) {
    listener(samples);
  }
}

function add(at, shards) {
  const last = samples.findLast((sample) => !sample.isGap);
  const total = { counters: sum(shards, "counters"), gauges: sum(shards, "gauges") };
  // Each shard knows the filters of all.
  total.gauges.filters = Math.max(0, ...shards.map((shard) => shard.gauges.filters));
  const seconds = last ? (at - last.at) / 1000 : 0;
  // A broker that was started again counts from the beginning.
  const isNext = last && !isBroken && last.shards.length === shards.length && total.counters.packets_received >= last.total.counters.packets_received;
  // Of the time in which nobody answered, or nobody asked, nothing is known: nothing is drawn across it.
  if (last && (!isNext || at - last.at > GAP_MIN_MS)) {
    samples.push({ at: (last.at + at) / 2, moment: (last.moment + Date.now()) / 2, isGap: true });
  }
  const rates = isNext ? differences(total.counters, last.total.counters, seconds) : null;
  const shardRates = isNext ? shards.map((shard, at) => differences(shard.counters, last.shards[at].counters, seconds)) : null;
  samples.push({ at, moment: Date.now(), shards, total, rates, shardRates });
  samples.splice(0, samples.length - SAMPLES_MAX);
  isBroken = false;
}

function sum(shards, part) {
  const total = {};
  for (const shard of shards) {
    for (const [name, value] of Object.entries(shard[part])) {
      total[name] = (total[name] ?? 0) + value;
    }
  }
  return total;
}

function differences(now, before, seconds) {
  const rates = {};
  for (const [name, value] of Object.entries(now)) {
    rates[name] = Math.max(0, value - (before[name] ?? 0)) / seconds;
  }
  return rates;
}

/** Everything that is lost, by cause, as the broker names it: `side` is "out", to a client, or "in", from one. */
export function causesOf(side) {
  return causes.filter((cause) => cause.side === side).map(({ counter, cause, why }) => ({ counter, name: cause, text: why }));
}

/** Everything that was said no to and is no message: the names of counters, and what they say in a few words. */
export const REFUSALS = {
  denied_will: "will: the access rules",
  denied_subscribe: "subscribe: the access rules",
  refused_max_subscriptions: "subscribe: max_subscriptions",
  refused_max_subscription_bytes: "subscribe: max_subscription_bytes",
  refused_subscription_memory: "subscribe: max_session_memory",
  refused_subscription_store_full: "subscribe: the store was full",
  refused_subscription_store_failed: "subscribe: the store had failed",
  refused_authentication: "connect: not who it says",
  refused_unavailable: "connect: nobody could say who it is",
  refused_connect: "connect: an error in CONNACK",
  refused_banned: "connect: banned",
  refused_connect_rate: "connect: too many, or too many failed attempts",
  refused_max_connections: "connect: server.max_connections",
  refused_listener_max_connections: "connect: max_connections of the listener",
  refused_contested: "connect: several with one client id",
  refused_version: "connect: the listener does not take the version",
  refused_tls: "connect: TLS was not agreed on",
  refused_websocket: "connect: WebSocket",
  refused_proxy: "connect: the header of a proxy",
  refused_unknown: "connect: first bytes that nobody speaks",
  violations: "disconnect: broke the protocol",
  keep_alive_timeouts: "disconnect: keep-alive ran out",
  packet_timeouts: "disconnect: a packet did not go on",
  receive_memory_exceeded: "disconnect: max_receive_memory",
  ended_filters: "disconnect: too many filters in one packet",
  connect_timeouts: "disconnect: no CONNECT in time",
  ended_client_publish_messages: "disconnect: client_publish_messages_per_s",
  ended_client_publish_bytes: "disconnect: client_publish_bytes_per_s",
  ended_user_publish_messages: "disconnect: user_publish_messages_per_s",
  ended_user_publish_bytes: "disconnect: user_publish_bytes_per_s",
  ended_address_publish_messages: "disconnect: address_publish_messages_per_s",
  ended_address_publish_bytes: "disconnect: address_publish_bytes_per_s",
};

/** Connections that were not let in: those that CONNACK refused, and those that never came so far. */
export function turnedAway(numbers) {
  return TURNED_AWAY.reduce((total, name) => total + (numbers[name] ?? 0), 0);
}

/** No connection counts for two of them. */
const TURNED_AWAY = [
  "refused_connect",
  "connections_turned_away",
  "listener_connections_turned_away",
  "refused_tls",
  "refused_unknown",
  "refused_websocket",
  "refused_proxy",
];

/** All that did not reach a client that it was for, of counters or of rates. */
export function dropped(numbers) {
  return sumOf("out", numbers);
}

/** All that was not taken in from those who published it. */
export function untaken(numbers) {
  return sumOf("in", numbers);
}

/** A chart of both. */
export const LOSSES = {
  title: "Lost per second",
  format: rate,
  lines: [
    { name: "on the way to clients", value: (sample) => (sample.rates ? dropped(sample.rates) : undefined) },
    { name: "not taken in", value: (sample) => (sample.rates ? untaken(sample.rates) : undefined) },
  ],
};

function sumOf(side, numbers) {
  return causesOf(side).reduce((total, { counter }) => total + (numbers[counter] ?? 0), 0);
}
