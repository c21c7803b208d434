// Why a client gets a message on a topic, or does not: a question, and the answer step by step.

import { ask } from "./api.js";
import { form } from "./dialog.js";
import { choice, field, fill, h, raw, visible } from "./dom.js";

/** A form for one client. */
export function whyForm(clientId, signal) {
  const topic = h("input", { name: "why-topic", required: true, autocomplete: "off", spellcheck: "false" });
  const publisher = h("input", { name: "why-publisher", autocomplete: "off", spellcheck: "false" });
  const size = h("input", { name: "why-size", type: "number", min: 0, max: PAYLOAD_BYTES_MAX, autocomplete: "off" });
  const qos = choice("why-qos", [["0", "0"], ["1", "1"], ["2", "2"]], "0");
  const answer = h("div", { class: "why", "aria-live": "polite" });
  const question = form({
    signal,
    isOfOneLine: true,
    fields: [field("Topic", topic), field("Published by (client id, if it matters)", publisher), field("QoS", qos), field("Bytes of its payload (if known)", size)],
    verb: "Ask why",
    act: async () => {
      fill(answer);
      const body = {
        client_id: clientId,
        topic: topic.value,
        qos: Number(qos.value),
        publisher: publisher.value === "" ? null : publisher.value,
        payload_bytes: size.value === "" ? null : Number(size.value),
      };
      const told = await ask("POST", "/v1/why", { body, signal });
      fill(answer, verdict(told.outcome, topic.value), told.publisher ? [h("h3", null, "Publisher"), steps(told.publisher)] : null, h("h3", null, "Client"), steps(told.client));
    },
  });
  return h("div", null, question, answer);
}

function verdict(outcome, topic) {
  const [text, kind] = OUTCOMES[outcome] ?? ["It would not get it", "no"];
  return h("p", { class: `verdict ${kind}` }, h("b", null, `${text}: `), raw(topic));
}

function steps(list) {
  return h("ol", { class: "steps" }, list.map((step) => {
    const [mark, word] = SAYS[step.says] ?? ["·", "to know"];
    return h(
      "li",
      { class: step.says },
      h("span", { class: "mark", "aria-hidden": "true" }, mark),
      h("span", { class: "unseen" }, `${word}: `),
      h("b", null, step.about.replaceAll("_", " ")),
      h("span", { class: "text" }, visible(step.text), step.place ? [" ", h("code", { class: "quiet" }, visible(step.place))] : null),
    );
  }));
}

const OUTCOMES = {
  goes: ["It would get it now", "yes"],
  waits: ["It would get it later: it waits", "later"],
  perhaps: ["It may get it: members of a shared subscription take turns", "later"],
  misses: ["It would not get it: it is not for this client", "no"],
  stops: ["It would not get it", "no"],
};
const SAYS = { yes: ["+", "passes"], no: ["−", "stops"], later: ["~", "waits"] };
/** What the length of an MQTT packet can say. */
const PAYLOAD_BYTES_MAX = 268_435_455;
