// Signing in with an API key, where the service asks who is there.
import { ask } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

/** Return the form; `done` is called when the service knows the caller. */
export function signin(done) {
  const input = h("input", {
    id: "api-key",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
    "aria-describedby": "api-key-hint",
  });
  const trouble = h("div");
  const button = h("button.primary.wide", { type: "submit" }, t("signin.enter"));
  const form = h(
    "form.signin-form",
    {},
    h(
      "div.field",
      {},
      h("label", { for: "api-key" }, t("signin.key")),
      input,
      h("span.muted.small", { id: "api-key-hint" }, t("signin.hint")),
    ),
    trouble,
    button,
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await ask("v1/session", { method: "POST", json: { key: input.value.trim() } });
      done();
    } catch (problem) {
      fill(trouble, notice(problem.status === 401 ? { code: "wrong_key" } : problem));
      button.disabled = false;
      input.focus();
    }
  });
  return h(
    "div.signin",
    {},
    icon("seal"),
    h("h1", { tabindex: "-1" }, t("signin.title")),
    h("p.muted", {}, t("signin.text")),
    form,
  );
}
