// Where a token is asked for.

import { field, fill, h } from "./dom.js";
import { Silence } from "./api.js";

/** `why` says what was wrong with the one before. */
export function login(main, { signIn, why }) {
  const control = h("input", { type: "password", name: "token", required: true, autocomplete: "off", spellcheck: "false" });
  const place = h("div", { "aria-live": "assertive" });
  const submit = h("button", { type: "submit", class: "primary" }, "Sign in");
  const form = h(
    "form",
    { class: "login" },
    h("h1", { tabindex: "-1" }, "Sign in"),
    h("p", null, "This is the dashboard of an MQTT broker. It asks for a token of the broker's API."),
    field("Token", control, "It is kept in this tab, and gone when the tab is closed."),
    place,
    h("div", { class: "actions" }, submit),
    h(
      "details",
      null,
      h("summary", null, "Where do I get one?"),
      h(
        "p",
        null,
        "The broker makes one of the role admin at its first start. It is in the file ",
        h("code", null, "api_tokens.first"),
        " in the data directory; where api.tokens_file names another place, it is beside that file, with .first behind its name. ",
        "A start at a terminal shows it there instead, once. Others are made beside the broker:",
      ),
      h("pre", null, "iothub token add anna --role operator --data-dir DIR"),
      h("p", null, "A viewer sees everything, an operator disconnects, bans and publishes, an admin changes users."),
    ),
  );
  tell(place, why);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(place);
    if (!/^[!-~]+$/.test(control.value.trim())) {
      tell(place, ["A token has letters, digits and signs of ASCII only, and no spaces: copy it again."]);
      return;
    }
    submit.disabled = true;
    try {
      await signIn(control.value.trim());
    } catch (error) {
      tell(place, error instanceof Silence ? ["The broker does not answer. Is it running?"] : (error.problems ?? [error.message]));
      control.select();
    }
    submit.disabled = false;
  });
  fill(main, form);
  control.focus();
}

function tell(place, problems) {
  fill(place, problems.length > 0 ? h("div", { class: "problem" }, problems.map((text) => h("p", null, text))) : null);
}
