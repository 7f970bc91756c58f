// The view in which a job is put together.
import { chooser, fileLine, takeDrops } from "./chooser.js";
import { cues } from "./cues.js";
import { fill, h, icon } from "./dom.js";
import { draft } from "./draft.js";
import { faces } from "./faces.js";
import { kindOf } from "./media.js";
import { notice } from "./notice.js";
import { send } from "./send.js";
import { settings } from "./settings.js";
import { stage } from "./stage.js";
import { t } from "./text.js";
import { timeline } from "./timeline.js";

/** Return the view; it lasts until `signal` ends it. */
export function compose(signal) {
  const view = h("div.compose");
  let inner = null;
  let shown = "";
  const show = () => {
    const { video, speech } = draft;
    const now = [video, speech].map((slot) => [slot.url, slot.error?.code, slot.lost?.name]).join();
    if (now === shown) return;
    const focused = document.activeElement?.closest?.(".compose") ? true : false;
    shown = now;
    inner?.abort();
    inner = new AbortController();
    view.dataset.state = video.file ? (speech.file ? "full" : "video") : "empty";
    fill(view, ...(video.file ? full(inner.signal) : empty()));
    if (focused && !view.contains(document.activeElement)) next(view)?.focus({ preventScroll: true });
  };
  signal.addEventListener("abort", () => inner?.abort());
  takeDrops(view, (file) => placeOf(file).choose(file));
  draft.video.addEventListener("change", show, { signal });
  draft.speech.addEventListener("change", show, { signal });
  show();
  return view;
}

/** Return where a file belongs that was dropped beside the places. */
const placeOf = (file) => (kindOf(file) === "sound" || draft.video.file ? draft.speech : draft.video);

/** Return what comes next: the heading of the step, so that a keyboard goes on from there. */
const next = (view) => view.querySelector(".speech-part h2, .drop button");

function empty() {
  return [
    h("div.hero", {}, h("h1", {}, t("compose.title")), h("p.lead", {}, t("compose.lead"))),
    h(
      "div.steps",
      {},
      h(
        "section.step",
        { "aria-labelledby": "step-video" },
        h("h2.step-title", { id: "step-video" }, step(1), t("video.title")),
        chooser(draft.video, "video", "camera"),
      ),
      h(
        "section.step.later",
        { "aria-labelledby": "step-speech" },
        h("h2.step-title", { id: "step-speech" }, step(2), t("speech.title")),
        speechPlace(null),
      ),
    ),
    h(
      "ul.promises",
      {},
      ...["here", "signed", "resume"].map((name) => h("li", {}, icon("check"), t(`compose.promise.${name}`))),
    ),
  ];
}

const step = (number) => h("span.step-number", { "aria-hidden": "true" }, String(number));

function speechPlace(signal) {
  return draft.speech.file
    ? fileLine(draft.speech, signal ?? new AbortController().signal)
    : chooser(draft.speech, "speech", "microphone");
}

function full(signal) {
  const preview = stage(signal, (seconds) => line?.moved(seconds));
  const line = draft.speech.file || draft.cues.length ? timeline(signal, preview.seek) : null;
  const fresh = h("button.quiet.fresh", { type: "button", onclick: () => draft.clear() }, t("compose.fresh"));
  const left = h(
    "div.left",
    {},
    h(
      "section.video-part",
      { "aria-label": t("video.title") },
      h("div.frame-place", {}, preview.element),
      fileLine(draft.video, signal),
      trouble("video", signal),
    ),
    line && h("section.timeline-part", { "aria-label": t("timeline.title") }, line.element, cues(signal)),
  );
  const speech = h(
    "section.speech-part.part",
    { "aria-labelledby": "speech-title" },
    h("h2", { id: "speech-title", tabindex: "-1" }, t("speech.title")),
    speechPlace(signal),
    trouble("speech", signal),
  );
  const rest =
    draft.speech.file || draft.cues.length
      ? [faces(signal, preview.seek), settings(signal), ...send(signal)]
      : [h("p.muted.next", {}, t("compose.next"))];
  return [
    h("div.compose-head", {}, h("h1", {}, t("compose.short")), fresh),
    h("div.columns", {}, left, h("div.side", {}, speech, ...rest)),
  ];
}

/** The problem of the last try, where it is about this part. */
function trouble(part, signal) {
  const place = h("div");
  const show = () => fill(place, draft.problem?.about === part ? notice(draft.problem) : null);
  draft.addEventListener("change", show, { signal });
  show();
  return place;
}
