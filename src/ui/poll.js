// What is asked again and again while somebody looks: a view's questions end with the view, and rest while the tab is hidden.

import { Refusal, Silence } from "./api.js";
import { fill, h } from "./dom.js";

/** Runs the task now and then every so often, one after the other. What goes wrong is shown at `place`. */
export async function poll(signal, every_ms, place, task) {
  while (!signal.aborted) {
    await attempt(signal, place, task);
    await pause(every_ms, signal);
    await shown(signal);
  }
}

/** Runs a task once. True: it came to its end. */
export async function attempt(signal, place, task) {
  try {
    await task();
    if (!signal.aborted) {
      fill(place);
    }
    return true;
  } catch (error) {
    if (!signal.aborted) {
      fill(place, problem(error));
    }
    return false;
  }
}

/** Why something cannot be shown, or has not been done. */
export function problem(error) {
  if (error instanceof Silence) {
    // The line at the top says it for the whole page.
    return null;
  }
  if (error instanceof Refusal) {
    return h("div", { class: "problem", role: "alert" }, error.problems.map((text) => h("p", null, sentence(text))));
  }
  if (error.isSaid) {
    return h("div", { class: "problem", role: "alert" }, h("p", null, sentence(error.message)));
  }
  console.error(error);
  return h("div", { class: "problem", role: "alert" }, h("p", null, `This page has failed: ${error.message}`));
}

function sentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

/** Ends early where the signal does. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** Waits while nobody can see the page. */
function shown(signal) {
  return new Promise((resolve) => {
    const check = () => {
      if (!document.hidden || signal.aborted) {
        document.removeEventListener("visibilitychange", check);
        resolve();
      }
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check, { once: true });
    check();
  });
}

/** While the first answer is on its way. */
export function loading() {
  return h("p", { class: "loading", role: "status" }, "Asking the broker …");
}
