// Questions before something is done: what will happen, and a button that says so.

import { announce, button, fill, h } from "./dom.js";
import { attempt } from "./poll.js";

/**
 * Asks, does it, and says that it is done; `done` may be a function that gives the sentence then. `fields` are controls within the
 * question; `act` gets the form. What goes wrong is shown in the dialog, which stays open then.
 */
export function confirm({ title, text, fields = [], verb, isDangerous = true, act, done }) {
  const from = document.activeElement;
  const place = h("div");
  const life = new AbortController();
  const submit = h("button", { type: "submit", class: isDangerous ? "dangerous" : "primary" }, verb);
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "dialog-title" }, title),
    text ? h("p", { id: "dialog-text" }, text) : null,
    fields,
    place,
    h("div", { class: "actions" }, button("Cancel", () => dialog.close(), { autofocus: fields.length === 0 }), submit),
  );
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title", "aria-describedby": text ? "dialog-text" : null },
    form,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const isDone = await attempt(life.signal, place, () => act(form));
    submit.disabled = false;
    if (isDone) {
      dialog.close();
      announce(typeof done === "function" ? done() : done);
    }
  });
  dialog.addEventListener("close", () => {
    life.abort();
    dialog.remove();
    // Where it is gone, so is what it was about.
    (from?.isConnected ? from : document.getElementById("main")).focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** A form of a page: does what it says, tells that it is done, as above, and shows what is wrong below. */
export function form({ signal, fields, verb, act, done, isOfOneLine = false }) {
  const place = h("div");
  const submit = h("button", { type: "submit", class: "primary" }, verb);
  const element = h("form", { class: isOfOneLine ? "line" : null, autocomplete: "off" }, fields, h("div", { class: "field" }, submit));
  // What was wrong was so of what stood there before.
  element.addEventListener("input", () => place.hasChildNodes() && fill(place));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    const isDone = await attempt(signal, place, () => act(element));
    submit.disabled = false;
    if (isDone && done) {
      announce(typeof done === "function" ? done() : done);
    }
  });
  return h("div", null, element, place);
}

/** An empty list with what to do about it. */
export function emptiness(text, command) {
  return [h("p", null, text), command ? h("pre", null, command) : null];
}

