// Dialogs: a native <dialog> holds the focus and gives it back.
import { h, unique } from "./dom.js";
import { t } from "./text.js";

/** Open a dialog with a title and content; return {element, close}. */
export function dialog(title, content, onclose = () => {}) {
  const id = unique("dialog");
  const element = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), ...content);
  element.addEventListener("close", () => {
    element.remove();
    onclose();
  });
  document.body.append(element);
  element.showModal();
  return { element, close: () => element.close() };
}

/** Ask before something that cannot be undone; return whether it is wanted. */
export function confirmed(title, text, action) {
  return new Promise((resolve) => {
    let wanted = false;
    const no = h(
      "button.quiet",
      { type: "button", autofocus: true, onclick: () => opened.close() },
      t("action.keep"),
    );
    const yes = h("button.danger", { type: "button" }, action);
    yes.addEventListener("click", () => {
      wanted = true;
      opened.close();
    });
    const opened = dialog(title, [h("p", {}, text), h("div.actions", {}, no, yes)], () => resolve(wanted));
  });
}
