// What is shown again and again: where the same thing comes again the element stays that is there. So the focus, what is marked, what
// is opened, and the place where a screen reader reads stay, too.

import { listenersOf, parts, takeListeners } from "./dom.js";

/** Like `fill`, for children that nobody else keeps: those that are shown may be others, which have become like these. */
export function renew(element, ...children) {
  const focused = document.activeElement;
  become(element, parts(children).map((child) => (child instanceof Node ? child : document.createTextNode(child))));
  // A move takes the focus away.
  if (focused !== document.activeElement && element.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

function become(element, wanted) {
  const there = [...element.childNodes];
  const shown = wanted.map((node) => {
    const at = there.findIndex((old) => isLike(old, node));
    if (at < 0) {
      return node;
    }
    const [old] = there.splice(at, 1);
    resemble(old, node);
    return old;
  });
  there.forEach((old) => old.remove());
  shown.forEach((node, at) => {
    if (element.childNodes[at] !== node) {
      element.insertBefore(node, element.childNodes[at] ?? null);
    }
  });
}

/** Whether one can stand for the other: of one kind, about the same thing, and doing something about the same events. */
function isLike(old, node) {
  return (
    old.nodeName === node.nodeName &&
    old.dataset?.key === node.dataset?.key &&
    old.dataset?.focus === node.dataset?.focus &&
    Object.keys(listenersOf(old)).join() === Object.keys(listenersOf(node)).join()
  );
}

function resemble(old, node) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) {
      old.data = node.data;
    }
    return;
  }
  for (const { name } of [...old.attributes]) {
    // What somebody has opened stays open.
    if (!node.hasAttribute(name) && name !== "open") {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
  takeListeners(old, node);
  become(old, [...node.childNodes]);
}
