// Everybody who is connected, or has a session that waits: search, filters, pages.

import { get } from "./api.js";
import { choice, field, fill, h, link, raw } from "./dom.js";
import { bytes, count, span } from "./format.js";
import { commandOf } from "./listeners.js";
import { loading, poll } from "./poll.js";
import { renew } from "./renew.js";
import { pager, settled, table } from "./table.js";
import { emptiness } from "./dialog.js";

export const clients = { name: "clients", title: "Clients", show };

function show(place, { signal, problems, query }) {
  const search = h("input", { type: "search", name: "client_id", value: query.get("client_id") ?? "", autocomplete: "off", spellcheck: "false" });
  const user = h("input", { type: "search", name: "user", value: query.get("user") ?? "", autocomplete: "off", spellcheck: "false" });
  const state = choice("connected", [["", "All"], ["true", "Connected"], ["false", "Away"]], query.get("connected") ?? "");
  const list = clientTable(() => isFiltered());
  const isFiltered = () => search.value !== "" || user.value !== "" || state.value !== "";
  const refresh = async (signal) => {
    const asked = { client_id: search.value, user: user.value, connected: state.value, cursor: pages.cursor, limit: ROWS };
    const answer = await get("/v1/clients", asked, signal);
    waiting.remove();
    list.show(answer.clients);
    pages.show(answer.cursor, answer.clients.length > 0 ? `${count(answer.clients.length)} shown` : "");
  };
  let asking = new AbortController();
  // Another question is asked at once, and asked again from then on.
  const restart = () => {
    asking.abort();
    asking = new AbortController();
    const both = AbortSignal.any([signal, asking.signal]);
    poll(both, EVERY_MS, problems, () => refresh(both));
  };
  const pages = pager(restart);
  const changed = () => {
    pages.reset();
    restart();
  };
  search.addEventListener("input", settled(changed));
  user.addEventListener("input", settled(changed));
  state.addEventListener("change", changed);
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Client id contains", search), field("User is", user), field("State", state));
  const waiting = loading();
  fill(place, filters, waiting, list.element, pages.element);
  restart();
}

function clientTable(isFiltered) {
  const nobody = h("div");
  const { element, show } = table({
    caption: "Clients",
    empty: nobody,
    columns: [
      { title: "Client", cell: (row) => link(["clients", row.client_id], raw(row.client_id), { "data-focus": row.client_id }) },
      { title: "State", isWide: true, cell: stateOf },
      { title: "User", cell: (row) => (row.user ? raw(row.user) : h("span", { class: "quiet" }, "none")) },
      { title: "Address", isWide: true, cell: (row) => row.connection?.address ?? "–" },
      { title: "Version", cell: (row) => row.connection?.version ?? "–" },
      { title: "Subscriptions", isNumber: true, cell: (row) => count(row.subscriptions) },
      { title: "Queued", isNumber: true, cell: (row) => count(row.queued) },
      { title: "In flight", isNumber: true, cell: (row) => count(row.inflight) },
      { title: "In", isNumber: true, cell: (row) => bytes(row.traffic.bytes_received) },
      { title: "Out", isNumber: true, cell: (row) => bytes(row.traffic.bytes_sent) },
    ],
  });
  return {
    element,
    show(rows) {
      renew(nobody, isFiltered() ? emptiness("No client is like that.") : emptiness("No clients yet. A first one:", commandOf("mosquitto_sub", "-t '#' -v")));
      show(rows);
    },
  };
}

/** Connected or away, in words and with a mark. */
export function stateOf(row) {
  return row.connection
    ? h("span", { class: "state on" }, `connected ${span(row.connection.connected_s)}`)
    : h("span", { class: "state off" }, "away");
}

const ROWS = 50;
const EVERY_MS = 5000;
