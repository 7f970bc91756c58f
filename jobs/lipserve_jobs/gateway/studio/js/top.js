// The head of the page: where one is, the language, the theme, signing out.
import { ask } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { preference } from "./keep.js";
import { language, languages, t } from "./text.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");

/** Draw the head; `here` names the view, `known` is what the service says of the caller. */
export function top(here, known) {
  const links = [
    ["new", "#/"],
    ["jobs", "#/jobs"],
  ].map(([name, href]) => h("a", { href, "aria-current": here === name ? "page" : null }, t(`nav.${name}`)));
  const mark = h("img", { src: "icon.svg", alt: "", width: 28, height: 28 });
  fill(
    document.getElementById("top"),
    h("a.brand", { href: "#/" }, mark, h("span", {}, t("nav.brand"))),
    h("nav", { "aria-label": t("nav.title") }, ...links),
    h("div.tools", {}, tongues(), lights(), known && !known.open_to_all ? leaving(known) : null),
  );
}

function tongues() {
  const options = Object.entries(languages).map(([code, { name }]) =>
    h("option", { value: code, lang: code, selected: code === language }, name),
  );
  const select = h("select.tongue", { "aria-label": t("nav.language") }, ...options);
  select.addEventListener("change", () => {
    preference("language", select.value);
    dispatchEvent(new Event("languagechosen"));
  });
  return select;
}

function lights() {
  const button = h("button.icon-button", { type: "button" });
  const show = () => {
    const text = t(theme() === "dark" ? "nav.light" : "nav.dark");
    button.title = text;
    button.setAttribute("aria-label", text);
    fill(button, icon(theme() === "dark" ? "sun" : "moon"));
  };
  button.addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    preference("theme", other);
    show();
    dispatchEvent(new Event("themechange"));
  });
  show();
  return button;
}

function leaving(known) {
  const text = t("nav.leave", { tenant: known.tenant });
  const button = h("button.icon-button", { type: "button", title: text, "aria-label": text }, icon("leave"));
  button.addEventListener("click", async () => {
    await ask("v1/session", { method: "DELETE" }).catch(() => {});
    location.reload();
  });
  return button;
}
