// The page: who is signed in, which view is shown, and the frame around it.

import { get, hasToken, news, setToken, Silence } from "./api.js";
import { announce, beginning, button, fill, h, visible } from "./dom.js";
import { bans } from "./bans.js";
import { client } from "./client.js";
import { clients } from "./clients.js";
import { drops } from "./drops.js";
import { events } from "./events.js";
import { exchange } from "./exchange.js";
import { learn } from "./listeners.js";
import { login } from "./login.js";
import { log } from "./log.js";
import { overview } from "./overview.js";
import { shards } from "./shards.js";
import { subscriptions } from "./subscriptions.js";
import { themes } from "./theme.js";
import { top as busiest } from "./top.js";
import { topics } from "./topics.js";
import { users } from "./users.js";
import { begin } from "./samples.js";

/** In the order of the menu; the first one is where everybody begins. */
const VIEWS = [overview, clients, busiest, topics, subscriptions, shards, drops, events, log, exchange, bans, users];
/** What stands where the address names no page, or one for others. */
const absent = {
  title: "No such page",
  show: (place) => fill(place, h("p", null, "There is no page at this address, or none for the role of this token."), h("p", null, h("a", { href: "#/" }, "To the overview"))),
};
const ROLES = ["viewer", "operator", "admin"];
/** Letters of a name in the title of the window. */
const TITLE_MAX = 60;

const top = document.getElementById("top");
const nav = document.getElementById("nav");
const main = document.getElementById("main");

/** What keeps the numbers of all pages from coming. */
const troubles = h("div", { class: "problems" });

/** Who is signed in: the token's name and role. */
let caller = null;
/** Ends what the view asks. */
let view = new AbortController();
/** Ends what is asked as long as somebody is signed in. */
let session = new AbortController();

function may(role) {
  return caller !== null && ROLES.indexOf(caller.role) >= ROLES.indexOf(role);
}

/** Whoever signs in by hand begins to read at the top of the page. */
async function signIn(token) {
  await resume(token);
  document.querySelector("h1").focus({ preventScroll: true });
}

async function resume(token) {
  setToken(token);
  try {
    caller = await get("/v1/caller");
    learn((await get("/v1/broker")).listeners);
  } catch (error) {
    // Who is not let in leaves nothing behind; a broker that does not answer may do so later.
    if (!(error instanceof Silence)) {
      setToken("");
    }
    throw error;
  }
  session = new AbortController();
  document.body.classList.add("signed-in");
  frame();
  begin(session.signal, troubles);
  route();
}

function signOut(why = []) {
  setToken("");
  caller = null;
  session.abort();
  view.abort();
  document.body.classList.remove("signed-in");
  frame();
  fill(nav);
  document.title = "Sign in – IoTHub";
  login(main, { signIn, why });
}

/** What stands above all views. */
function frame() {
  const menu = button("Menu", () => showMenu(menu.getAttribute("aria-expanded") !== "true"), {
    id: "menu",
    "aria-expanded": "false",
    "aria-controls": "nav",
  });
  const lost = h("p", { id: "lost", role: "alert", hidden: true });
  fill(
    top,
    h(
      "div",
      { class: "bar" },
      caller ? menu : null,
      h("a", { class: "brand", href: "#/", "aria-label": "IoTHub" }, mark(), h("span", null, "IoTHub")),
      h("span", { class: "grow" }),
      themes(),
      caller ? h("span", { class: "who" }, h("b", null, caller.token), ` ${caller.role}`) : null,
      caller ? button("Sign out", () => signOut()) : null,
    ),
    lost,
    troubles,
  );
  fill(troubles);
}

function mark() {
  return h("img", { src: "icon.svg", alt: "", width: 22, height: 22 });
}

function showMenu(isOpen) {
  document.getElementById("menu")?.setAttribute("aria-expanded", String(isOpen));
  nav.classList.toggle("open", isOpen);
}

/** Shows what the address says. */
function route() {
  if (!caller) {
    return;
  }
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...parts] = path.split("/").map(unescaped);
  const chosen = VIEWS.find((one) => one.name === name && (!one.role || may(one.role))) ?? absent;
  const shown = chosen === clients && parts.length > 0 ? client : chosen;
  fill(nav, menuOf(chosen));
  showMenu(false);
  view.abort();
  view = new AbortController();
  const heading = h("h1", { tabindex: "-1" }, shown.title);
  const problems = h("div", { class: "problems" });
  const content = h("div", { class: "content" });
  fill(main, h("div", { class: "head" }, heading, h("div", { class: "tools" })), problems, content);
  main.scrollTo?.(0, 0);
  document.title = `${shown.title} – IoTHub`;
  shown.show(content, {
    parts,
    query: new URLSearchParams(query ?? ""),
    signal: view.signal,
    problems,
    heading,
    tools: main.querySelector(".tools"),
    may,
    entitle(text) {
      document.title = `${visible(beginning(text, TITLE_MAX))} – IoTHub`;
    },
  });
  return heading;
}

function unescaped(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function menuOf(chosen) {
  const entries = VIEWS.filter((one) => !one.role || may(one.role)).map((one) =>
    h("li", null, h("a", { href: `#/${one.name}`, "aria-current": one === chosen ? "page" : null, "data-focus": `nav-${one.name}` }, one.title)),
  );
  return h("ul", null, entries);
}

window.addEventListener("hashchange", () => {
  // Whoever came by a link begins to read at the top of what it leads to.
  route()?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});

document.addEventListener("keydown", (event) => {
  const menu = document.getElementById("menu");
  // In a field, or in a dialog, the key is for that.
  const isForMenu = event.key === "Escape" && !event.target.closest("input, select, textarea, dialog");
  if (isForMenu && menu?.getAttribute("aria-expanded") === "true") {
    showMenu(false);
    menu.focus();
  }
});

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

news.addEventListener("lost", () => {
  const lost = document.getElementById("lost");
  lost.hidden = false;
  fill(lost, "The broker does not answer. What is shown is what it said last; this page goes on asking.");
});

news.addEventListener("back", () => {
  document.getElementById("lost").hidden = true;
  announce("The broker answers again.");
});

news.addEventListener("unknown", (event) => {
  if (caller) {
    signOut(event.detail);
  }
});

/** A tab that was loaded again goes on where it was. */
async function start() {
  frame();
  if (!hasToken()) {
    signOut();
    return;
  }
  try {
    await resume(sessionStorage.getItem("iothub.token"));
  } catch (error) {
    signOut(error.problems ?? [error.message]);
  }
}

start();
