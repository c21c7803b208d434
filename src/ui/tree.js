// A tree of topics: branches that open and close, by pointer and by keys, as the pattern `tree` of ARIA has it.

import { fill, h, raw } from "./dom.js";
import { count } from "./format.js";

/** A tree of nodes `{ level, path, topic, children, leaves }` out of topics; `topic` is set where one of them ends. */
export function grown(topics) {
  const root = { level: "", path: "", topic: null, children: new Map(), leaves: 0 };
  for (const topic of topics) {
    let node = root;
    for (const level of topic.split("/")) {
      node.leaves += 1;
      if (!node.children.has(level)) {
        const path = node === root ? level : `${node.path}/${level}`;
        node.children.set(level, { level, path, topic: null, children: new Map(), leaves: 0 });
      }
      node = node.children.get(level);
    }
    node.leaves += 1;
    node.topic = topic;
  }
  return root;
}

/** `choose` is told the topic of a node where one ends; `note(path)` is what stands behind a name, if anything does. */
export function tree({ label, choose, note }) {
  const element = h("ul", { role: "tree", "aria-label": label, class: "tree" });
  const nodes = new WeakMap();
  /** Paths of branches that are open, and the topic that was chosen: they stay so when there are more topics. */
  let open = new Set();
  let chosen = null;
  /** Where the keys begin. */
  let resting = null;

  const items = () => [...element.querySelectorAll("[role=treeitem]")].filter((item) => item.offsetParent !== null);
  const rest_on = (item) => {
    element.querySelector("[role=treeitem][tabindex='0']")?.setAttribute("tabindex", "-1");
    item?.setAttribute("tabindex", "0");
    resting = item?.dataset.focus ?? null;
  };
  const take = (item) => {
    const node = nodes.get(item);
    if (node.topic === null) {
      toggle(item, item.getAttribute("aria-expanded") !== "true");
      return;
    }
    element.querySelector("[aria-selected]")?.removeAttribute("aria-selected");
    chosen = node.path;
    item.setAttribute("aria-selected", "true");
    choose(node.topic);
  };

  function toggle(item, isOpen) {
    const node = nodes.get(item);
    if (node.children.size === 0) {
      return;
    }
    item.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) {
      open.add(node.path);
    } else {
      open.delete(node.path);
    }
    const group = item.querySelector(":scope > ul");
    group.hidden = !isOpen;
    if (isOpen && group.childElementCount === 0) {
      fill(group, branches(node));
    }
  }

  function branches(node) {
    return [...node.children.values()].map(itemOf);
  }

  function itemOf(node) {
    const hasChildren = node.children.size > 0;
    const isOpen = open.has(node.path);
    const mark = h("span", { class: "twist", "aria-hidden": "true", onclick: (event) => (event.stopPropagation(), toggle(item, item.getAttribute("aria-expanded") !== "true")) });
    const name = raw(node.level === "" ? "(empty level)" : node.level);
    const more = hasChildren ? h("span", { class: "quiet" }, count(node.leaves)) : null;
    const group = hasChildren ? h("ul", { role: "group", hidden: !isOpen }, isOpen ? branches(node) : []) : null;
    const item = h(
      "li",
      {
        role: "treeitem",
        tabindex: "-1",
        "aria-expanded": hasChildren ? String(isOpen) : null,
        "aria-selected": chosen === node.path && node.topic !== null ? "true" : null,
        class: node.topic === null ? "branch" : "leaf",
        "data-focus": `${node.topic === null} ${node.path}`,
      },
      h("div", { class: "row", onclick: () => (rest_on(item), item.focus(), take(item)) }, mark, name, more, h("span", { class: "rate" }, note(node.path))),
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
    /** Another tree. */
    show(root, isOpen) {
      chosen = null;
      open = new Set(isOpen ? branchesOf(root) : []);
      this.renew(root);
    },
    /** The same tree with more or other topics. */
    renew(root) {
      const before = resting;
      fill(element, branches(root));
      const all = [...element.querySelectorAll("[role=treeitem]")];
      rest_on(all.find((item) => item.dataset.focus === before) ?? all[0]);
    },
    /** What stands behind the names has changed. */
    renote() {
      for (const item of items()) {
        fill(item.querySelector(":scope > .row > .rate"), note(nodes.get(item).path));
      }
    },
  };
}

/** The paths of all that have others beneath them. */
function branchesOf(node) {
  const below = [...node.children.values()].flatMap(branchesOf);
  return node.children.size > 0 ? [node.path, ...below] : below;
}
