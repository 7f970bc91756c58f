// An error, with its remedy, beside what it is about.
import { h, icon } from "./dom.js";
import { has, language, t } from "./text.js";

const ABOUT = {
  invalid_video: "video",
  no_face: "video",
  not_a_video: "video",
  invalid_audio: "speech",
  not_a_speech: "speech",
  model_not_found: "tier",
  invalid_options: "settings",
  consent_required: "settings",
};

/** Return what a problem is about: video, speech, tier, settings, or the service. */
export const about = (problem) => problem.about ?? ABOUT[problem.code] ?? "send";

/** Return what to tell of a problem: in the page's words where it has some, else in the service's. */
export function words(problem) {
  const known = has(`problem.${problem.code}`);
  const said = problem.detail || (problem.message !== problem.code && problem.message);
  return {
    title: known ? t(`problem.${problem.code}.title`) : said || t("problem.unknown.title"),
    remedy: known ? t(`problem.${problem.code}.remedy`) : problem.remedy || t("problem.unknown.remedy"),
  };
}

/** Return the notice of a problem ({code, message or detail, remedy}), with buttons that mend it. */
export function notice(problem, ...actions) {
  const { title, remedy } = words(problem);
  const detail = [problem.detail ?? problem.message, problem.remedy].filter(Boolean).join(" ");
  return h(
    "div.notice",
    { "data-code": problem.code, role: "group", "aria-label": title },
    icon("warning"),
    h(
      "div",
      {},
      h("p.notice-title", {}, title),
      h("p", {}, remedy),
      detail &&
        h(
          "details",
          {},
          h("summary", {}, t("problem.details")),
          h("p.exact", language === "en" ? {} : { lang: "en" }, detail, " ", h("code", {}, problem.code)),
        ),
      actions.length ? h("div.actions", {}, ...actions) : null,
    ),
  );
}
