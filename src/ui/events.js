// What happens to clients, as it happens: who comes and goes, what is denied, what is lost.

import { choice, field, fill, h, link, raw, visible } from "./dom.js";
import { feed } from "./feed.js";
import { clock, expiry, span } from "./format.js";
import { settled } from "./table.js";

export const events = { name: "events", title: "Events", show };

function show(place, { signal, problems, tools, query }) {
  const input = (name) => h("input", { type: "search", name, value: query.get(name) ?? "", autocomplete: "off", spellcheck: "false" });
  const kind = choice("kind", KINDS, query.get("kind") ?? "");
  const [clientId, user, topic] = ["client_id", "user", "topic"].map(input);
  const list = eventFeed({ hasClient: true });
  let asking = new AbortController();
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    const asked = { kind: kind.value, client_id: clientId.value, user: user.value, topic: topic.value };
    list.listen(AbortSignal.any([signal, asking.signal]), problems, "/v1/events", asked);
  };
  const changed = () => {
    list.clear();
    restart();
  };
  kind.addEventListener("change", changed);
  for (const control of [clientId, user, topic]) {
    control.addEventListener("input", settled(changed));
  }
  fill(tools, list.hold);
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("What", kind), field("Client id is", clientId), field("User is", user), field("Topic filter", topic));
  fill(place, filters, list.element);
  restart();
}

/** Of one client, or of all. */
export function eventFeed({ hasClient }) {
  return feed({
    label: "Events, the newest first",
    noun: ["event", "events"],
    kind: "events",
    empty: "Nothing has happened since this page was opened. Events come as they happen.",
    line: (event) => lineOf(event, hasClient),
  });
}

function lineOf(event, hasClient) {
  const places = new Map(FIRST.map((name, at) => [name, at]));
  const place = ([name]) => places.get(name) ?? FIRST.length;
  const rest = Object.entries(event).filter(([name, value]) => !KNOWN.has(name) && value !== null && value !== "" && value !== false);
  const details = rest.sort((one, other) => place(one) - place(other)).map(detailOf);
  const who = hasClient && event.client_id ? [clientOf(event.client_id), " "] : null;
  return h(
    "li",
    { class: `level-${SEVERITY[event.event] ?? "info"}` },
    h("time", null, clock(event.at ? event.at * 1000 : Date.now())),
    h("b", null, visible(event.event.replaceAll("_", " "))),
    h("div", null, who, event.event === "lost" ? "events came faster than they were read: " : null, details),
  );
}

function detailOf([name, value]) {
  const label = name.replace(/_s$/, "").replaceAll("_", " ");
  if (value === true) {
    return [h("span", { class: "quiet" }, label), " "];
  }
  const text = textOf(name, value);
  return [h("span", { class: "quiet" }, `${label} `), raw(text), " "];
}

function textOf(name, value) {
  if (name === "session_expiry_s") {
    return expiry(value === FOREVER_S ? null : value);
  }
  if (name === "keep_alive_s" && value === 0) {
    return "none";
  }
  return name.endsWith("_s") && typeof value === "number" ? span(value) : value;
}

/** The broker tells no more of a long one than its beginning, which leads nowhere. */
function clientOf(clientId) {
  return clientId.length < CLIENT_TOLD_MAX ? link(["clients", clientId], raw(clientId)) : raw(clientId);
}

const CLIENT_TOLD_MAX = 400;
/** As MQTT has it. */
const FOREVER_S = 0xffffffff;
/** Told in places of their own, or of use to nobody here. */
const KNOWN = new Set(["event", "at", "client_id", "shard", "code"]);
/** What matters most. */
const FIRST = ["count", "cause", "action", "topic", "because", "by", "reason", "why", "user", "claimed_user", "address", "version", "listener"];
const SEVERITY = { refused: "warn", denied: "warn", would_be_denied: "warn", violation: "error", quota_exceeded: "warn", taken_over: "warn", dropped: "warn", lost: "error" };
const KINDS = [
  ["", "Everything"],
  ["connected,disconnected,taken_over,session_expired", "Coming and going"],
  ["refused", "Refused connections"],
  ["denied,would_be_denied", "Denied by the rules"],
  ["dropped", "Lost messages"],
  ["violation", "Broken protocol"],
  ["quota_exceeded", "Ended for a quota"],
];
