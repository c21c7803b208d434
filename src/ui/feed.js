// What a stream of server-sent events tells, the newest first: it is opened again where it breaks, can be held, and is bounded.

import { stream } from "./api.js";
import { button, fill, h } from "./dom.js";
import { plural } from "./format.js";
import { attempt, pause } from "./poll.js";

/**
 * A list with a line about its state. `line(row)` makes an item of what came, `isWanted(row)` says whether it is shown, `noun` is how
 * one and several are called, and `empty` stands there before the first one comes.
 */
export function feed({ label, noun, empty, line, isWanted = () => true, kind = "", most = ROWS_MAX }) {
  const rows = [];
  const held = [];
  let isHeld = false;
  const list = h("ol", { class: `log ${kind}`, "aria-label": label, tabindex: "0" });
  const none = h("div", { class: "empty" }, h("p", null, empty));
  const state = h("p", { class: "quiet", role: "status" });
  const write = () => {
    rows.splice(most);
    const wanted = rows.filter(isWanted);
    fill(list, wanted.map(line));
    none.hidden = rows.length > 0;
    list.hidden = wanted.length === 0;
    const waiting = plural(held.length, `${noun[0]} waits`, `${noun[1]} wait`);
    fill(state, isHeld ? `Paused; ${waiting}` : rows.length > 0 ? `${plural(wanted.length, ...noun)} of the last ${rows.length}` : "");
  };
  const hold = button("Pause", () => {
    isHeld = !isHeld;
    fill(hold, isHeld ? "Go on" : "Pause");
    hold.setAttribute("aria-pressed", String(isHeld));
    if (!isHeld) {
      rows.unshift(...held.splice(0).reverse());
    }
    write();
  }, { "aria-pressed": "false" });
  const take = (row) => {
    if (isHeld) {
      held.push(row);
      held.splice(0, held.length - most);
    } else {
      rows.unshift(row);
      rows.splice(most);
    }
  };
  const listen = async (signal, problems, path, query) => {
    fill(state, "Connecting …");
    while (!signal.aborted) {
      await attempt(signal, problems, () => read(signal, path, query, take, write));
      if (!signal.aborted) {
        fill(state, "The stream has ended; connecting again …");
      }
      await pause(AGAIN_MS, signal);
    }
  };
  return {
    element: h("div", { class: "feed" }, state, none, list),
    hold,
    write,
    listen,
    /** Another question: what came belongs to the one before. */
    clear() {
      rows.length = 0;
      held.length = 0;
      write();
    },
  };
}

/** Many rows at once are shown once. */
async function read(signal, path, query, take, write) {
  let isWritten = true;
  for await (const text of stream(path, query, signal)) {
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
}

const ROWS_MAX = 500;
const WRITE_PAUSE_MS = 150;
const AGAIN_MS = 3000;
