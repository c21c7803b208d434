// Who may not come in: the bans that hold, further ones, and their end.

import { ask, get } from "./api.js";
import { confirm, emptiness, form } from "./dialog.js";
import { button, choice, field, fill, h, raw, section } from "./dom.js";
import { moment } from "./format.js";
import { attempt, loading, poll } from "./poll.js";
import { pager, settled, table } from "./table.js";

export const bans = { name: "bans", title: "Bans", show };

const KINDS = [["client_id", "Client id"], ["user", "User"], ["address", "Address or network"]];

function show(place, { signal, problems, may }) {
  const waiting = loading();
  const refresh = async () => {
    const answer = await get("/v1/bans", { kind: kind.value, name: name.value, cursor: pages.cursor }, signal);
    waiting.remove();
    list.show(answer.bans);
    pages.show(answer.cursor);
  };
  const askAgain = () => attempt(signal, problems, refresh);
  const pages = pager(askAgain);
  const list = banTable(may("operator"), refresh);
  const kind = choice("listed", [["", "All"], ...KINDS], "");
  const name = h("input", { type: "search", name: "name", autocomplete: "off", spellcheck: "false" });
  const changed = () => {
    pages.reset();
    askAgain();
  };
  kind.addEventListener("change", changed);
  name.addEventListener("input", settled(changed));
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Kind of ban", kind), field("Whom contains", name));
  fill(place, filters, waiting, list.element, pages.element, may("operator") ? section("Ban somebody", banForm(signal, refresh)) : null);
  poll(signal, EVERY_MS, problems, refresh);
}

function whomOf(ban) {
  return KINDS.find(([kind]) => ban[kind]) ?? ["address", "Address or network"];
}

function banTable(isAllowed, refresh) {
  const columns = [
    { title: "Whom", cell: (ban) => raw(ban[whomOf(ban)[0]]) },
    { title: "Kind", cell: (ban) => whomOf(ban)[1] },
    { title: "Until", isWide: true, cell: (ban) => (ban.until ? moment(ban.until) : "for ever") },
    isAllowed && { title: "Actions", cell: (ban) => button("Lift", () => lift(ban, refresh), { "data-focus": `lift ${ban[whomOf(ban)[0]]}`, "aria-label": `Lift the ban of ${ban[whomOf(ban)[0]]}` }) },
  ];
  return table({ caption: "Bans that hold", empty: emptiness("Nobody is banned."), columns: columns.filter(Boolean) });
}

function lift(ban, refresh) {
  const [kind, name] = whomOf(ban);
  let still = [];
  confirm({
    title: "Lift this ban?",
    text: [`${name} `, raw(ban[kind]), " may connect again."],
    verb: "Lift the ban",
    act: async () => {
      ({ still } = await ask("DELETE", "/v1/bans", { body: { [kind]: ban[kind] } }));
      await refresh();
    },
    done: () => (still.length === 0 ? "The ban is lifted." : "The ban is lifted, and another one still keeps the same out."),
  });
}

function banForm(signal, refresh) {
  const kind = choice("kind", KINDS, "client_id");
  const whom = h("input", { name: "whom", required: true, autocomplete: "off", spellcheck: "false" });
  const time = choice("time", [["", "For ever"], ["900", "15 minutes"], ["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"]], "3600");
  return form({
    signal,
    isOfOneLine: true,
    fields: [field("Kind", kind), field("Whom", whom), field("How long", time)],
    verb: "Ban",
    done: "The ban holds.",
    act: async () => {
      const until = time.value === "" ? {} : { until: new Date(Date.now() + Number(time.value) * 1000).toISOString().replace(/\.\d+Z$/, "Z") };
      await ask("POST", "/v1/bans", { body: { [kind.value]: whom.value, ...until } });
      whom.value = "";
      await refresh();
    },
  });
}

const EVERY_MS = 5000;
