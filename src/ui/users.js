// The users of the broker's database: their groups and roles, and, for an admin, further ones, passwords, and their end.

import { ask, get, path } from "./api.js";
import { confirm, emptiness, form } from "./dialog.js";
import { button, field, fill, h, raw, section } from "./dom.js";
import { attempt, loading, poll } from "./poll.js";
import { pager, settled, table } from "./table.js";

export const users = { name: "users", title: "Users", show };

function show(place, { signal, problems, may }) {
  const waiting = loading();
  let hasDatabase = false;
  const refresh = async () => {
    if (!hasDatabase) {
      const broker = await get("/v1/broker", {}, signal);
      waiting.remove();
      hasDatabase = broker.has_user_database;
      fill(none, hasDatabase ? null : emptiness("The broker keeps no users of its own. With a database it does:", '[authentication]\nuser_database = "users.db"'));
      body.hidden = !hasDatabase;
      if (!hasDatabase) {
        return;
      }
    }
    const answer = await get("/v1/users", { user: name.value, cursor: pages.cursor }, signal);
    list.show(answer.users);
    pages.show(answer.cursor);
  };
  const askAgain = () => attempt(signal, problems, refresh);
  const pages = pager(askAgain);
  const name = h("input", { type: "search", name: "listed", autocomplete: "off", spellcheck: "false" });
  name.addEventListener("input", settled(() => {
    pages.reset();
    askAgain();
  }));
  const filters = h("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() }, field("Name contains", name));
  const list = userTable(refresh, may("admin"));
  const none = h("div");
  const body = h(
    "div",
    { hidden: true },
    h("p", { class: "about" }, "Those whom clients sign in as, by the user database (authentication.user_database). Users of other files and services are not listed."),
    filters,
    list.element,
    pages.element,
    may("admin") ? section("Add a user", userForm(signal, refresh)) : null,
  );
  fill(place, waiting, none, body);
  poll(signal, EVERY_MS, problems, refresh);
}

function userTable(refresh, isAdmin) {
  return table({
    caption: "Users",
    empty: emptiness("There are no users yet."),
    columns: [
      { title: "User", cell: (user) => raw(user.user) },
      { title: "Groups", cell: (user) => names(user.groups) },
      { title: "Roles", cell: (user) => names(user.roles) },
      { title: "Signs in by", isWide: true, cell: waysOf },
      isAdmin && { title: "Actions", isWide: true, cell: (user) => h("span", { class: "buttons" }, acts(user, refresh)) },
    ].filter(Boolean),
  });
}

function names(list) {
  return list && list.length > 0 ? list.map((name, at) => [at > 0 ? ", " : "", raw(name)]) : "–";
}

/** What there is to sign in with. */
function waysOf(user) {
  if (user.is_disabled) {
    return "nothing: disabled";
  }
  return [user.has_password ? "password" : "", ...user.scram].filter(Boolean).join(", ") || "nothing";
}

function listed(text) {
  return text.split(",").map((name) => name.trim()).filter(Boolean);
}

function acts(user, refresh) {
  return [
    button("Change", () => change(user, refresh), { "data-focus": `change ${user.user}`, "aria-label": `Change ${user.user}` }),
    button("Delete", () => confirm({
      title: "Delete this user?",
      text: [raw(user.user), " is disconnected and cannot sign in any more."],
      verb: "Delete",
      act: async () => {
        await ask("DELETE", path(["users", user.user]));
        await refresh();
      },
      done: "The user is deleted.",
    }), { "data-focus": `delete ${user.user}`, "aria-label": `Delete ${user.user}` }),
  ];
}

function change(user, refresh) {
  const password = h("input", { type: "password", name: "password", autocomplete: "new-password" });
  const isDisabled = h("input", { type: "checkbox", name: "is_disabled", checked: user.is_disabled });
  const groups = h("input", { name: "groups", value: (user.groups ?? []).join(", "), autocomplete: "off" });
  const roles = h("input", { name: "roles", value: (user.roles ?? []).join(", "), autocomplete: "off" });
  confirm({
    title: "Change this user",
    text: raw(user.user),
    fields: [
      field("Password", password, "Nothing: as it is."),
      field("Groups", groups, "Between commas."),
      field("Roles", roles, "Between commas."),
      h("label", { class: "check" }, isDisabled, "Disabled: cannot sign in"),
    ],
    verb: "Change",
    isDangerous: false,
    act: async () => {
      // Who proves passwords by SCRAM goes on doing so with another one.
      const secret = password.value === "" ? {} : { password: password.value, scram: user.scram.length > 0 };
      const body = { ...secret, groups: listed(groups.value), roles: listed(roles.value), is_disabled: isDisabled.checked };
      await ask("PATCH", path(["users", user.user]), { body });
      await refresh();
    },
    done: "The user is changed.",
  });
}

function userForm(signal, refresh) {
  const name = h("input", { name: "name", required: true, autocomplete: "off", spellcheck: "false" });
  const password = h("input", { type: "password", name: "password", required: true, autocomplete: "new-password" });
  const scram = h("input", { type: "checkbox", name: "scram" });
  const groups = h("input", { name: "groups", autocomplete: "off" });
  const roles = h("input", { name: "roles", autocomplete: "off" });
  return form({
    signal,
    isOfOneLine: true,
    fields: [field("Name", name), field("Password", password), field("Groups, between commas", groups), field("Roles, between commas", roles), h("label", { class: "check" }, scram, "Also by SCRAM")],
    verb: "Add",
    done: "The user is added.",
    act: async (element) => {
      const body = { user: name.value, password: password.value, scram: scram.checked, groups: listed(groups.value), roles: listed(roles.value) };
      await ask("POST", "/v1/users", { body });
      element.reset();
      await refresh();
    },
  });
}

const EVERY_MS = 10_000;
