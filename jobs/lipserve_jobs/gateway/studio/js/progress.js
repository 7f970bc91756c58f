// How far a job is: steps, pictures, time left.
import { announce, fill, h } from "./dom.js";
import { lasting, percent } from "./format.js";
import { t } from "./text.js";

const STEPS = ["queued", "preparing", "making", "joining"];
const TOLD = 0.25; // every quarter is said aloud

/** Return the progress of a job, and what shows a change of it. */
export function progress(view, cancel) {
  const bar = h("progress.long", { max: 1, "aria-label": t("progress.title") });
  const words = h("p.progress-words");
  const left = h("p.progress-left.muted");
  const steps = h(
    "ol.progress-steps",
    {},
    ...STEPS.map((step) => h("li", { "data-step": step }, t(`state.${step}`))),
  );
  const button = h("button.second", { type: "button" }, t("action.cancel_job"));
  let told = 0;
  button.addEventListener("click", () => {
    button.disabled = true;
    fill(button, t("progress.cancelling"));
    cancel();
  });

  const show = ({ state, progress: { frames, frames_done: done }, seconds_left: seconds }) => {
    const place = STEPS.indexOf(state);
    [...steps.children].forEach((step, at) => {
      step.classList.toggle("past", at < place);
      if (at === place) step.setAttribute("aria-current", "step");
      else step.removeAttribute("aria-current");
    });
    const share = frames ? done / frames : 0;
    if (frames && done) bar.value = share;
    else bar.removeAttribute("value");
    fill(
      words,
      frames
        ? t("progress.pictures", { done, count: frames, share: percent(share) })
        : t(`progress.${state}`),
    );
    fill(
      left,
      seconds === null ? t(`progress.hint.${state}`) : t("progress.left", { time: lasting(seconds) }),
    );
    if (Math.floor(share / TOLD) > told) {
      told = Math.floor(share / TOLD);
      announce(t("progress.aloud", { share: percent(share), left: left.textContent }));
    }
  };
  show(view);
  const element = h(
    "section.progress",
    { "aria-label": t("progress.title") },
    steps,
    bar,
    words,
    left,
    h("div.actions", {}, button, h("p.muted.small", {}, t("progress.leave"))),
  );
  return { element, show };
}
