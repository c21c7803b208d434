// Light or dark: as the machine says, or as the reader does.

import { choice, h } from "./dom.js";

const KEY = "iothub.theme";

function apply(theme) {
  if (theme === "auto") {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = theme;
  }
}

/** Where it is chosen. */
export function themes() {
  const chosen = localStorage.getItem(KEY) ?? "auto";
  const options = [["auto", "System"], ["light", "Light"], ["dark", "Dark"]];
  const control = choice("theme", options, chosen);
  control.addEventListener("change", () => {
    localStorage.setItem(KEY, control.value);
    apply(control.value);
  });
  return h("label", { class: "theme" }, h("span", { class: "unseen" }, "Colours"), control);
}

apply(localStorage.getItem(KEY) ?? "auto");
