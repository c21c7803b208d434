// How often topics are published to, out of what the broker counts on each.

import { rate } from "./format.js";
import { pause } from "./poll.js";

/** Of topics and of everything above them. */
export function liveRates() {
  /** Messages since the last tick, by path; and what that is in a second, over the last ticks. */
  let fresh = new Map();
  let smooth = new Map();
  const topics = new Set();
  let hasMore = false;
  let missed = 0;
  let at = 0;

  const add = (topic, messages) => {
    if (!topics.has(topic) && topics.size < TOPICS_MAX) {
      topics.add(topic);
      hasMore = true;
    }
    for (let end = topic.indexOf("/"); end >= 0; end = topic.indexOf("/", end + 1)) {
      count(topic.slice(0, end), messages);
    }
    count(topic, messages);
  };
  const count = (path, messages) => {
    if (fresh.has(path) || fresh.size < PATHS_MAX) {
      fresh.set(path, (fresh.get(path) ?? 0) + messages);
    }
  };

  function settle(seconds) {
    const now = new Map();
    for (const path of new Set([...smooth.keys(), ...fresh.keys()])) {
      const measured = (fresh.get(path) ?? 0) / seconds;
      const before = smooth.get(path) ?? measured;
      const value = before + (measured - before) * SHARE_OF_NEW;
      if (value >= LEAST) {
        now.set(path, value);
      }
    }
    smooth = now;
    fresh = new Map();
  }

  return {
    reset() {
      fresh = new Map();
      smooth = new Map();
      topics.clear();
      missed = 0;
      at = performance.now();
    },
    /** A line of `/v1/published`. */
    take(line) {
      if (line.left_out) {
        missed += line.left_out;
      } else if (line.topic) {
        add(line.topic, line.messages);
      }
    },
    topics: () => topics,
    note: (path) => (smooth.has(path) ? `${rate(smooth.get(path))}/s` : null),
    summary() {
      const known = `Messages as they come from clients, counted on ${topics.size} topics.`;
      return missed > 0 ? `${known} ${missed} messages on further topics are not in the rates: a narrower filter has them.` : known;
    },
    /** Works the rates out again and again; `show` hears whether there are further topics. */
    async tick(signal, show) {
      at = performance.now();
      while (!signal.aborted) {
        await pause(EVERY_MS, signal);
        if (signal.aborted) {
          return;
        }
        const now = performance.now();
        settle((now - at) / 1000);
        at = now;
        show(hasMore);
        hasMore = false;
      }
    },
  };
}

const EVERY_MS = 1000;
const SHARE_OF_NEW = 0.4;
/** Less than this in a second is nothing. */
const LEAST = 0.01;
const TOPICS_MAX = 2000;
const PATHS_MAX = 10_000;
