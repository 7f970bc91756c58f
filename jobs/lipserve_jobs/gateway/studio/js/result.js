// A result: beside its source, with its figures, its origin, and its files.
import { call, job as path } from "./api.js";
import { compare } from "./compare.js";
import { fill, h, icon } from "./dom.js";
import { figures } from "./figures.js";
import { notice } from "./notice.js";
import { origin } from "./origin.js";
import { t } from "./text.js";

export function result(view, signal) {
  const player = compare(view, signal);
  const report = h("div.report", {}, h("p.muted", {}, t("action.loading")));
  call(path(view.id, "report"), { signal })
    .then((told) => fill(report, ...figures(told.report, player.seek), origin(view, told.report, signal)))
    .catch((problem) => problem.name === "AbortError" || fill(report, notice(problem)));
  return h("div.result", {}, player.element, files(view), report);
}

function files(view) {
  const download = h(
    "a.button.primary",
    { href: `${path(view.id, "result")}?download=1`, download: "" },
    icon("download"),
    t("result.download"),
  );
  const report = h(
    "a.button.second",
    { href: path(view.id, "report"), download: "report.json" },
    t("result.report"),
  );
  const place = h("div.sheet-place");
  const sheet = h(
    "button.second",
    { type: "button", "aria-expanded": "false" },
    icon("grid"),
    t("result.sheet"),
  );
  sheet.addEventListener("click", () => {
    sheet.disabled = true;
    sheet.setAttribute("aria-expanded", "true");
    const picture = h("img.sheet-picture", { alt: t("result.sheet_text"), src: path(view.id, "sheet") });
    const wait = h("p.muted", { role: "status" }, t("result.drawing"));
    picture.addEventListener("load", () =>
      fill(place, h("a", { href: picture.src, target: "_blank", rel: "noopener" }, picture)),
    );
    picture.addEventListener("error", () => {
      sheet.disabled = false;
      fill(place, notice({ code: "no_sheet" }));
    });
    fill(place, wait);
  });
  return h(
    "section.files",
    { "aria-label": t("result.files") },
    h("div.actions", {}, download, sheet, report),
    place,
  );
}
