// Elements of the page, made of names, attributes and text. Nothing here, and nothing anywhere else, reads a text as markup: client
// ids, topics and payloads are whatever somebody sent.

import { count } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML. Attributes that are `on...` functions listen, true is an attribute without a value, false and null are none. */
export function h(tag, attributes, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function s(tag, attributes, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") {
      listen(element, name.slice(2), value);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...parts(children));
  return element;
}

/** What each element does, by the name of the event. An element can take over what another does. */
const listeners = new WeakMap();

function listen(element, event, does) {
  listeners.set(element, { ...listenersOf(element), [event]: does });
  element.addEventListener(event, (happened) => listeners.get(element)[event](happened));
}

export function listenersOf(element) {
  return listeners.get(element) ?? {};
}

/** Both must do something about the same events. */
export function takeListeners(element, other) {
  listeners.set(element, listenersOf(other));
}

/** What may stand between elements: nodes, texts, lists of both, and nothing. */
export function parts(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Puts these in the place of all that an element has, and leaves the focus where it was if the same thing is there again. */
export function fill(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  element.replaceChildren(...parts(children));
  if (focused !== undefined) {
    const again = [...element.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused);
    again?.focus({ preventScroll: true });
  }
}

/** Text from outside, kept apart from what is around it: right-to-left letters and invisible ones included. Of a long one the beginning. */
export function raw(text, attributes) {
  const shown = beginning(String(text), RAW_SHOWN_MAX);
  const rest = String(text).length - shown.length;
  const more = rest > 0 ? h("span", { class: "quiet" }, ` … ${count(rest)} more letters`) : null;
  return h("bdi", { class: "raw", ...attributes }, visible(shown), more);
}

/** Not more than so many letters, and no half of one. */
export function beginning(text, most) {
  return text.length <= most ? text : text.slice(0, most).replace(/[\ud800-\udbff]$/u, "");
}

/** Letters that show nothing, or change how others are shown, by their numbers. */
export function visible(text) {
  const escaped = (letter) => `\\u{${letter.codePointAt(0).toString(16)}}`;
  return String(text).replace(UNSEEN, escaped);
}

// The same as in a terminal; a mark belongs to the letter before it, and one without any is shown by its number.
const UNSEEN = /[\u{0}-\u{1f}\u{7f}-\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}-\u{1160}\u{17b4}-\u{17b5}\u{180b}-\u{180f}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{2800}\u{3164}\u{fe00}-\u{fe0f}\u{feff}\u{ffa0}\u{fff0}-\u{fffb}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|^[\u{300}-\u{36f}\u{1ab0}-\u{1aff}\u{1dc0}-\u{1dff}\u{20d0}-\u{20ff}\u{fe20}-\u{fe2f}]/gu;

/** A link within the page: the view and what it is about. */
export function link(place, text, attributes, query) {
  const behind = query ? `?${new URLSearchParams(query)}` : "";
  return h("a", { href: `#/${place.map(encodeURIComponent).join("/")}${behind}`, ...attributes }, text);
}

export function button(text, onclick, attributes) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

let labelled = 0;

/** A form's field with its label above, and a line below that says more. */
export function field(label, control, hint) {
  labelled += 1;
  control.id = `field-${labelled}`;
  const about = hint ? h("p", { class: "hint", id: `hint-${labelled}` }, hint) : null;
  if (about) {
    control.setAttribute("aria-describedby", about.id);
  }
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, about);
}

export function choice(name, options, chosen) {
  const entries = options.map(([value, text]) => h("option", { value, selected: value === chosen }, text));
  return h("select", { name }, entries);
}

/** Names and values, one below the other. */
export function facts(pairs) {
  const rows = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined);
  return h("dl", { class: "facts" }, rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

/** A part of a view with its heading. */
export function section(title, ...children) {
  return h("section", { class: "part" }, h("h2", null, title), children);
}

/** Said to whoever cannot see it, and shown for a while to whoever can. */
export function announce(text) {
  const place = document.getElementById("said");
  fill(place, text);
  const note = h("div", { class: "note" }, text);
  document.getElementById("notes").append(note);
  setTimeout(() => note.remove(), NOTE_SHOWN_MS);
}

const NOTE_SHOWN_MS = 4000;
/** Client ids and topics may have 65,535 bytes. */
const RAW_SHOWN_MAX = 120;
