// A tree of topics: branches that open and close, by pointer and by keys, as the pattern `tree` of ARIA has it.

import { fill, h, visible } from "./dom.js";
import { count } from "./format.js";

/** A tree of nodes `{ level, topic, children, leaves }` out of topics; `topic` is set where there is a message. */
export function grown(topics) {
  const root = { level: "", topic: null, children: new Map(), leaves: 0 };
  for (const topic of topics) {
    let node = root;
    for (const level of topic.split("/")) {
      node.leaves += 1;
      if (!node.children.has(level)) {
        node.children.set(level, { level, topic: null, children: new Map(), leaves: 0 });
      }
      node = node.children.get(level);
    }
    node.leaves += 1;
    node.topic = topic;
  }
  return root;
}

/** `choose` is told the topic of a node that has a message. */
export function tree({ label, choose }) {
  const element = h("ul", { role: "tree", "aria-label": label, class: "tree" });
  const nodes = new WeakMap();
  let chosen = null;

  const items = () => [...element.querySelectorAll("[role=treeitem]")].filter((item) => item.offsetParent !== null);
  const rest_on = (item) => {
    element.querySelector("[role=treeitem][tabindex='0']")?.setAttribute("tabindex", "-1");
    item?.setAttribute("tabindex", "0");
  };
  const take = (item) => {
    const node = nodes.get(item);
    if (node.topic === null) {
      toggle(item, item.getAttribute("aria-expanded") !== "true");
      return;
    }
    chosen?.removeAttribute("aria-selected");
    chosen = item;
    item.setAttribute("aria-selected", "true");
    choose(node.topic);
  };

  function toggle(item, isOpen) {
    const node = nodes.get(item);
    if (node.children.size === 0) {
      return;
    }
    item.setAttribute("aria-expanded", String(isOpen));
    const group = item.querySelector(":scope > ul");
    group.hidden = !isOpen;
    if (isOpen && group.childElementCount === 0) {
      fill(group, branches(node, false));
    }
  }

  function branches(node, isOpen) {
    return [...node.children.values()].map((child) => itemOf(child, isOpen));
  }

  function itemOf(node, isOpen) {
    const hasChildren = node.children.size > 0;
    const mark = h("span", { class: "twist", "aria-hidden": "true", onclick: (event) => (event.stopPropagation(), toggle(item, item.getAttribute("aria-expanded") !== "true")) });
    const name = h("bdi", { class: "raw" }, node.level === "" ? "(empty level)" : visible(node.level));
    const more = hasChildren ? h("span", { class: "quiet" }, count(node.leaves)) : null;
    const group = hasChildren ? h("ul", { role: "group", hidden: !isOpen }, isOpen ? branches(node, isOpen) : []) : null;
    const item = h(
      "li",
      { role: "treeitem", tabindex: "-1", "aria-expanded": hasChildren ? String(isOpen) : null, class: node.topic === null ? "branch" : "leaf" },
      h("div", { class: "row", onclick: () => (rest_on(item), item.focus(), take(item)) }, mark, name, more),
      group,
    );
    nodes.set(item, node);
    return item;
  }

  element.addEventListener("keydown", (event) => {
    const item = event.target.closest("[role=treeitem]");
    const all = items();
    const at = all.indexOf(item);
    const isOpen = item.getAttribute("aria-expanded") === "true";
    const moves = {
      ArrowDown: () => all[at + 1],
      ArrowUp: () => all[at - 1],
      Home: () => all[0],
      End: () => all.at(-1),
      ArrowRight: () => (isOpen ? all[at + 1] : void toggle(item, true)),
      ArrowLeft: () => (isOpen ? void toggle(item, false) : item.parentElement.closest("[role=treeitem]")),
      Enter: () => void take(item),
      " ": () => void take(item),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    event.preventDefault();
    const to = move();
    if (to) {
      rest_on(to);
      to.focus();
    }
  });

  return {
    element,
    show(root, isOpen) {
      chosen = null;
      fill(element, branches(root, isOpen));
      rest_on(element.querySelector("[role=treeitem]"));
    },
  };
}
