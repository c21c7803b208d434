// Who subscribes to what.

import { get } from "./api.js";
import { emptiness } from "./dialog.js";
import { field, fill, h, link, raw } from "./dom.js";
import { count } from "./format.js";
import { commandOf } from "./listeners.js";
import { loading, poll } from "./poll.js";
import { pager, settled, table } from "./table.js";

export const subscriptions = { name: "subscriptions", title: "Subscriptions", show };

function show(place, { signal, problems, query }) {
  const input = (name) => h("input", { type: "search", name, value: query.get(name) ?? "", autocomplete: "off", spellcheck: "false" });
  const filter = input("filter");
  const clientId = input("client_id");
  const list = subscriptionTable({ hasClient: true });
  const waiting = loading();
  let asking = new AbortController();
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    poll(both, EVERY_MS, problems, async () => {
      const asked = { filter: filter.value, client_id: clientId.value, cursor: pages.cursor, limit: ROWS };
      const answer = await get("/v1/subscriptions", asked, both);
      waiting.remove();
      list.show(answer.subscriptions);
      pages.show(answer.cursor, answer.subscriptions.length > 0 ? `${count(answer.subscriptions.length)} shown` : "");
    });
  };
  const pages = pager(restart);
  for (const control of [filter, clientId]) {
    control.addEventListener("input", settled(() => (pages.reset(), restart())));
  }
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Topic filter contains", filter), field("Client id contains", clientId));
  fill(place, filters, waiting, list.element, pages.element);
  restart();
}

/** Of one client, or of all. */
export function subscriptionTable({ hasClient }) {
  const columns = [
    { title: "Topic filter", cell: (row) => raw(row.filter) },
    hasClient && { title: "Client", isWide: true, cell: (row) => link(["clients", row.client_id], raw(row.client_id), { "data-focus": `${row.client_id} ${row.filter}` }) },
    { title: "QoS", isNumber: true, cell: (row) => row.qos },
    { title: "Options", isWide: true, cell: optionsOf },
    { title: "Identifier", isNumber: true, cell: (row) => row.subscription_id ?? "–" },
  ];
  return table({
    caption: "Subscriptions",
    empty: hasClient ? emptiness("No subscription is like that. A first one:", commandOf("mosquitto_sub", "-t 'house/#' -v")) : "It subscribes to nothing.",
    columns: columns.filter(Boolean),
  });
}

/** Retained messages are for those who do not share. */
function optionsOf(row) {
  const options = [
    row.no_local && "no local",
    row.retain_as_published && "retain as published",
    row.share_name === null && RETAINED[row.retain_handling],
  ].filter(Boolean);
  return row.share_name === null ? options.join(", ") : [options.concat("shared by ").join(", "), raw(row.share_name)];
}

/** By Retain Handling. */
const RETAINED = ["retained messages", "retained messages if it is new", "no retained messages"];

const ROWS = 50;
const EVERY_MS = 5000;
