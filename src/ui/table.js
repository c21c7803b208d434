// Tables: the same on every page, as rows on a screen and as cards on a phone, and pages of long lists.

import { button, fill, h } from "./dom.js";
import { renew } from "./renew.js";

/**
 * A table whose rows are shown again and again. A column is `{ title, cell(row), isNumber, isWide }`; the first one
 * names its row, and a wide one has a line of its own on a phone. `empty` is
 * what stands there without any.
 */
export function table({ caption, columns, empty }) {
  // Cards have no columns: the roles tell what the display takes away.
  const head = columns.map((column) => h("th", { scope: "col", role: "columnheader", class: kind(column) }, column.title));
  const body = h("tbody", { role: "rowgroup" });
  const none = h("div", { class: "empty", hidden: true }, empty);
  const whole = h(
    "table",
    { role: "table" },
    h("caption", { class: "unseen" }, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)),
    body,
  );
  const frame = h("div", { class: "table" }, whole);
  const show = (rows) => {
    frame.hidden = rows.length === 0;
    none.hidden = rows.length > 0;
    if (!isSelecting(body)) {
      renew(body, rows.map((row) => rowOf(columns, row)));
    }
  };
  frame.hidden = true;
  return { element: h("div", null, frame, none), show };
}

function rowOf(columns, row) {
  const cells = columns.map((column, at) => {
    const attributes = { class: kind(column), "data-label": column.title, role: at === 0 ? "rowheader" : "cell" };
    // One element, so that on a phone it stands beside its title as one.
    const content = h("span", null, column.cell(row));
    return at === 0 ? h("th", { scope: "row", ...attributes }, content) : h("td", attributes, content);
  });
  // A row goes where its name goes.
  return h("tr", { role: "row", "data-key": cells[0].textContent }, cells);
}

function kind(column) {
  return [column.isNumber && "number", column.isWide && "wide"].filter(Boolean).join(" ") || null;
}

/** Whoever marks something to copy it keeps what is marked. */
function isSelecting(element) {
  const selection = document.getSelection();
  return !selection.isCollapsed && element.contains(selection.anchorNode);
}

/** The way through a long list by cursors: back to the beginning, and on. `turn` is called when another page is wanted. */
export function pager(turn) {
  let before = [];
  let here = null;
  let next = null;
  const go = (cursor) => {
    here = cursor;
    turn();
  };
  const back = button("Previous page", () => go(before.pop() ?? null), { "data-focus": "previous" });
  const on = button("Next page", () => (before.push(here), go(next)), { "data-focus": "next" });
  const count = h("span", { class: "quiet" });
  const element = h("div", { class: "pager", hidden: true }, back, on, count);
  return {
    element,
    get cursor() {
      return here;
    },
    /** Another question: its answer has a first page of its own. */
    reset() {
      before = [];
      here = null;
    },
    show(cursor, text) {
      next = cursor ?? null;
      back.disabled = before.length === 0;
      on.disabled = next === null;
      fill(count, text ?? "");
      back.hidden = on.hidden = back.disabled && on.disabled;
      element.hidden = back.hidden && !text;
    },
  };
}

/** Calls back once nobody has typed for a moment. */
export function settled(callback) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(callback, TYPING_PAUSE_MS);
  };
}

const TYPING_PAUSE_MS = 250;
