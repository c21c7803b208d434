// What the broker writes into its log, as it writes it.

import { stream } from "./api.js";
import { button, choice, field, fill, h, visible } from "./dom.js";
import { clock, plural } from "./format.js";
import { attempt, pause } from "./poll.js";

export const log = { name: "log", title: "Log", show };

function show(place, { signal, problems, tools }) {
  const lines = [];
  const held = [];
  let isHeld = false;
  const search = h("input", { type: "search", name: "search", autocomplete: "off", spellcheck: "false" });
  const level = choice("level", [["debug", "All"], ["info", "Info and worse"], ["warn", "Warnings and errors"], ["error", "Errors"]], "debug");
  const list = h("ol", { class: "log", "aria-label": "Log lines, the newest first", tabindex: "0" });
  const none = h("div", { class: "empty" }, h("p", null, "Nothing since this page was opened. Lines come as the broker writes them."));
  const state = h("p", { class: "quiet", role: "status" }, "Connecting …");
  const hold = button("Pause", () => {
    isHeld = !isHeld;
    fill(hold, isHeld ? "Go on" : "Pause");
    if (!isHeld) {
      lines.unshift(...held.splice(0).reverse());
    }
    write();
  }, { "aria-pressed": "false" });
  const isWanted = (line) => SEVERITY.indexOf(line.level) >= SEVERITY.indexOf(level.value) && line.text.toLowerCase().includes(search.value.toLowerCase());
  const write = () => {
    hold.setAttribute("aria-pressed", String(isHeld));
    lines.splice(LINES_MAX);
    const wanted = lines.filter(isWanted);
    fill(list, wanted.map(lineOf));
    none.hidden = lines.length > 0;
    list.hidden = lines.length === 0;
    fill(state, isHeld ? `Paused; ${plural(held.length, "line waits", "lines wait")}` : lines.length > 0 ? `${plural(wanted.length, "line", "lines")} of the last ${lines.length}` : "");
  };
  search.addEventListener("input", write);
  level.addEventListener("change", write);
  fill(tools, hold);
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Text contains", search), field("Level", level));
  fill(place, filters, state, none, list);
  const take = (line) => {
    if (isHeld) {
      held.push(line);
      held.splice(0, held.length - LINES_MAX);
    } else {
      lines.unshift(line);
    }
  };
  listen(signal, problems, take, write, state);
}

/** Opens the stream, and again where it breaks. Many lines at once are shown once. */
async function listen(signal, problems, take, write, state) {
  while (!signal.aborted) {
    await attempt(signal, problems, async () => {
      let isWritten = true;
      for await (const text of stream("/v1/log", {}, signal)) {
        if (isWritten && text.startsWith(":")) {
          write();
        }
        if (text.startsWith("data:")) {
          take(JSON.parse(text.slice(5)));
          if (isWritten) {
            isWritten = false;
            setTimeout(() => {
              isWritten = true;
              write();
            }, WRITE_PAUSE_MS);
          }
        }
      }
    });
    fill(state, "The stream has ended; connecting again …");
    await pause(AGAIN_MS, signal);
  }
}

function lineOf(line) {
  return h(
    "li",
    { class: `level-${line.level}` },
    h("time", null, line.at ? clock(line.at) : ""),
    h("b", null, line.level),
    h("bdi", { class: "raw" }, visible(line.text)),
  );
}

const SEVERITY = ["trace", "debug", "info", "warn", "error"];
const LINES_MAX = 500;
const WRITE_PAUSE_MS = 150;
const AGAIN_MS = 3000;
