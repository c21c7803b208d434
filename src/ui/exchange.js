// Publishes and subscribes as an ordinary client, over a WebSocket of the broker.

import { get } from "./api.js";
import { emptiness, form } from "./dialog.js";
import { announce, button, choice, field, fill, h, raw, section } from "./dom.js";
import { bytes, clock, payload, plural } from "./format.js";
import { problemOfFilter, problemOfTopic } from "./filters.js";
import { addressesOf, webSocketBeside } from "./listeners.js";
import { Client } from "./mqtt.js";
import { attempt } from "./poll.js";

export const exchange = { name: "publish", title: "Publish and subscribe", show };

function show(place, { parts: [topic], signal, problems }) {
  const text = (name, value, more) => h("input", { name, value, autocomplete: "off", spellcheck: "false", ...more });
  const url = text("url", "", { required: true });
  const state = h("p", { class: "state off", role: "status" }, "not connected");
  const inner = h("div", { hidden: true });
  const doors = h("div");
  let client = null;

  const subscribing = subscriber(signal, () => client, topic);
  const leave = () => {
    client?.disconnect();
    client = null;
  };
  signal.addEventListener("abort", leave, { once: true });

  const isOver = (why) => {
    client = null;
    state.className = "state off";
    fill(state, `not connected: ${why}`);
    inner.hidden = true;
    connecting.hidden = false;
  };
  const connecting = form({
    signal,
    isOfOneLine: true,
    verb: "Connect",
    fields: [
      field("Address", url),
      field("Client id", text("client_id", `dashboard-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`)),
      field("User", text("user", "")),
      field("Password", h("input", { type: "password", name: "password", autocomplete: "off" })),
    ],
    act: async (element) => {
      const { client_id, user, password } = element.elements;
      leave();
      fill(state, "connecting …");
      const mine = new Client();
      mine.addEventListener("closed", (event) => (client === mine || client === null) && isOver(event.detail));
      mine.addEventListener("message", (event) => messages.take(event.detail));
      await spoken(mine.connect({ url: url.value, clientId: client_id.value, user: user.value, password: password.value }));
      client = mine;
      state.className = "state on";
      fill(state, "connected");
      connecting.hidden = true;
      inner.hidden = false;
      // What was wrong at another connection is not wrong at this one.
      inner.querySelectorAll(".problem").forEach((one) => one.remove());
      const first = inner.querySelector("input");
      first.focus();
      first.select();
      attempt(signal, problems, subscribing.again);
    },
  });

  const messages = messageList();
  fill(inner,
    h("div", { class: "actions" }, button("Disconnect", leave)),
    h("div", { class: "columns" },
      section("Subscribe", subscribing.elements),
      section("Publish", publishing(signal, () => client, topic))),
    section("Messages", messages.element),
  );
  fill(place, doors, state, connecting, inner);
  attempt(signal, problems, async () => {
    const { listeners = [], has_default_listeners } = await get("/v1/broker", {}, signal);
    const addresses = addressesOf(listeners);
    url.value = addresses[0] ?? "";
    fill(doors, addresses.length > 0 ? null : h("div", { class: "empty" }, emptiness(
      "No listener of this broker speaks WebSocket, which is what a page needs. One for this machine, beside those that there are, at the end of the broker's configuration:",
      webSocketBeside(listeners, has_default_listeners))));
  });
}

/** What the broker would end the connection for is not sent. */
function check(problem) {
  if (problem) {
    throw Object.assign(new Error(problem), { isSaid: true });
  }
}

/** What a client rejects with is a sentence, and no fault of the page. */
async function spoken(promise) {
  try {
    return await promise;
  } catch (error) {
    error.isSaid = true;
    throw error;
  }
}

/** What this page subscribes to: a connection begins with a clean session, so that each one is told of it again. */
function subscriber(signal, client, topic) {
  const filter = h("input", { name: "filter", value: topic ?? ALL, required: true, autocomplete: "off", spellcheck: "false" });
  // Whoever has not typed yet replaces what is there, with a click before or without.
  filter.addEventListener("mousedown", (event) => {
    if (filter.value === ALL) {
      event.preventDefault();
      filter.focus();
      filter.select();
    }
  });
  const qos = choice("qos", [["0", "0"], ["1", "1"]], "0");
  const list = h("ul", { class: "chips", "aria-label": "Subscriptions of this page" });
  /** The QoS that is asked for, by filter. */
  const held = new Map();
  const write = () => fill(list, [...held.keys()].map((one) => h("li", null, raw(one), button("×", () => drop(one), { "aria-label": `Unsubscribe from ${one}` }))));
  const drop = async (one) => {
    await client()?.unsubscribe(one);
    held.delete(one);
    write();
  };
  const subscribe = async (wanted, qos) => {
    check(problemOfFilter(wanted));
    const granted = await spoken(client().subscribe(wanted, qos));
    held.set(wanted, qos);
    write();
    return granted;
  };
  const question = form({
    signal,
    isOfOneLine: true,
    fields: [field("Topic filter", filter), field("QoS", qos)],
    verb: "Subscribe",
    act: async () => announce(`Subscribed at QoS ${await subscribe(filter.value, Number(qos.value))}.`),
  });
  return {
    elements: [question, list],
    /** At another connection. What is refused now is not held any more. */
    async again() {
      const before = [...held];
      held.clear();
      write();
      const asked = await Promise.allSettled(before.map(([one, qos]) => subscribe(one, qos)));
      const refused = asked.find(({ reason }) => reason);
      if (refused) {
        throw refused.reason;
      }
    },
  };
}

function publishing(signal, client, topic) {
  const name = h("input", { name: "topic", value: topic ?? "", required: true, autocomplete: "off", spellcheck: "false" });
  const content = h("textarea", { name: "payload", rows: 3, spellcheck: "false" });
  const qos = choice("qos", [["0", "0"], ["1", "1"]], "1");
  const retain = h("input", { type: "checkbox", name: "retain" });
  return form({
    signal,
    fields: [
      field("Topic", name),
      field("Payload", content),
      h("div", { class: "line" }, field("QoS", qos), h("label", { class: "check" }, retain, "Retain")),
    ],
    verb: "Publish",
    // At QoS 0 nobody says what has become of it.
    done: () => (qos.value === "0" ? "Sent." : "Published."),
    act: async () => {
      check(problemOfTopic(name.value));
      await spoken(client().publish({ topic: name.value, payload: content.value, qos: Number(qos.value), retain: retain.checked }));
    },
  });
}

/** The last ones, the newest first. Many at once are shown once. */
function messageList() {
  let messages = [];
  let total = 0;
  let isWritten = true;
  const list = h("ol", { class: "messages", "aria-label": "Messages, the newest first" });
  const state = h("p", { class: "quiet", role: "status" }, "None yet.");
  const write = () => {
    isWritten = true;
    fill(list, messages.map((message) => message.element));
    fill(state, total > 0 ? `${plural(total, "message", "messages")}${total > messages.length ? `, the last ${messages.length} shown` : ""}` : "None yet.");
  };
  const take = (message) => {
    total += 1;
    messages = [{ element: messageOf(message) }, ...messages.slice(0, MESSAGES_MAX - 1)];
    if (isWritten) {
      isWritten = false;
      setTimeout(write, WRITE_PAUSE_MS);
    }
  };
  const clear = button("Clear", () => {
    messages = [];
    total = 0;
    write();
  });
  return { element: h("div", null, h("div", { class: "line" }, state, clear), list), take };
}

function messageOf({ topic, payload: content, qos, retain }) {
  const { text } = payload(content, MESSAGE_SHOWN_BYTES);
  return h(
    "li",
    null,
    h("p", null, h("time", null, clock(Date.now())), raw(topic), h("span", { class: "quiet" }, `QoS ${qos}${retain ? ", retained" : ""}, ${bytes(content.length)}`)),
    content.length > 0 ? h("pre", null, text) : null,
  );
}

/** Of topics. */
const ALL = "#";
const MESSAGES_MAX = 200;
/** Of one payload: all of them stand there at once. */
const MESSAGE_SHOWN_BYTES = 8 * 1024;
const WRITE_PAUSE_MS = 100;
