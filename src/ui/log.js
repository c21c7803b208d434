// What the broker writes into its log, as it writes it.

import { beginning, choice, field, fill, h, visible } from "./dom.js";
import { feed } from "./feed.js";
import { clock } from "./format.js";

export const log = { name: "log", title: "Log", show };

function show(place, { signal, problems, tools }) {
  const search = h("input", { type: "search", name: "search", autocomplete: "off", spellcheck: "false" });
  const level = choice("level", [["debug", "All"], ["info", "Info and worse"], ["warn", "Warnings and errors"], ["error", "Errors"]], "debug");
  const lines = feed({
    label: "Log lines, the newest first",
    noun: ["line", "lines"],
    empty: "Nothing since this page was opened. Lines come as the broker writes them.",
    line: lineOf,
    isWanted: (line) => SEVERITY.indexOf(line.level) >= SEVERITY.indexOf(level.value) && line.text.toLowerCase().includes(search.value.toLowerCase()),
  });
  search.addEventListener("input", lines.write);
  level.addEventListener("change", lines.write);
  fill(tools, lines.hold);
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Text contains", search), field("Level", level));
  fill(place, filters, lines.element);
  lines.listen(signal, problems, "/v1/log");
}

function lineOf(line) {
  return h(
    "li",
    { class: `level-${line.level}` },
    h("time", null, line.at ? clock(line.at) : ""),
    h("b", null, line.level),
    h("bdi", { class: "raw" }, visible(beginning(line.text, LINE_SHOWN_MAX))),
  );
}

const SEVERITY = ["trace", "debug", "info", "warn", "error"];
/** A line may have a client id in it that has 65,535 bytes. */
const LINE_SHOWN_MAX = 4096;
