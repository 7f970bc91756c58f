// The source and the result side by side, played together.
import { ask, job as path } from "./api.js";
import { fill, h, icon, unique } from "./dom.js";
import { clock } from "./format.js";
import { Loupe } from "./loupe.js";
import { sourceTime } from "./mapping.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const APART = 0.06; // seconds that the two may be from each other
const STEP = 1 / 25;
const SPEEDS = [0.25, 0.5, 1];

/** Return the players of a job that is done, and what shows a moment. */
export function compare(view, signal) {
  const made = h("video", {
    src: path(view.id, "result"),
    playsInline: true,
    preload: "auto",
    "aria-label": t("result.made"),
    tabindex: "-1",
  });
  const source = h("div.source");
  const pair = { made, source: null };
  const tools = controls(made, signal);
  const glass = new Loupe(pair, signal);
  const place = h(
    "div.pair",
    {},
    side(t("result.source"), source, glass, "source"),
    side(t("result.made"), made, glass, "made"),
  );
  made.addEventListener("error", () => fill(place, notice({ code: "unplayable" })), { once: true });
  made.addEventListener("loadedmetadata", () =>
    place.style.setProperty("--ratio", String(made.videoWidth / made.videoHeight)),
  );
  open(view, signal).then((element) => {
    if (!element) return place.classList.add("alone");
    pair.source = element;
    fill(source, element);
    if (element.tagName === "VIDEO") together(made, element, view, signal);
    for (const event of ["seeked", "load"]) element.addEventListener(event, () => glass.still(), { signal });
  });
  const element = h(
    "section.compare",
    { "aria-label": t("result.compare") },
    place,
    tools.element,
    glass.element,
  );
  element.addEventListener("keydown", (event) => tools.keyed(event));
  return { element, seek: tools.seek };
}

function side(title, content, glass, name) {
  const picture = h("div.picture", {}, content);
  picture.append(glass.marker(name, picture));
  return h("figure.side-by", {}, h("figcaption", {}, title), picture);
}

/** Return the source as a video or a picture; null where it is gone, or this browser cannot show it. */
async function open(view, signal) {
  const src = path(view.id, "inputs/video");
  try {
    const head = await ask(src, { method: "HEAD", signal });
    if (head.headers.get("Content-Type")?.startsWith("image/"))
      return h("img", { src, alt: t("result.source") });
  } catch {
    return null;
  }
  const video = h("video", {
    src,
    muted: true,
    playsInline: true,
    preload: "auto",
    tabindex: "-1",
    "aria-label": t("result.source"),
  });
  const fine = await new Promise((resolve) => {
    video.addEventListener("loadeddata", () => resolve(true), { once: true });
    video.addEventListener("error", () => resolve(false), { once: true });
  });
  return fine ? video : null;
}

/** Keep the source where the result is. */
function together(made, source, view, signal) {
  const mode = view.metadata.on_length_mismatch ?? "loop";
  const follow = () => {
    const { at, forwards } = sourceTime(made.currentTime, source.duration, made.duration, mode);
    const running = !made.paused && !made.ended && forwards;
    source.playbackRate = made.playbackRate;
    if (Math.abs(source.currentTime - at) > (running ? APART : 0.001) && !source.seeking)
      source.currentTime = at;
    if (running && source.paused) source.play().catch(() => {});
    if (!running && !source.paused) source.pause();
  };
  let frame = 0;
  const run = () => {
    follow();
    frame = made.paused ? 0 : requestAnimationFrame(run);
  };
  made.addEventListener("play", () => (frame ||= requestAnimationFrame(run)), { signal });
  for (const event of ["pause", "seeked", "ended"]) made.addEventListener(event, follow, { signal });
  signal.addEventListener("abort", () => cancelAnimationFrame(frame));
  follow();
}

function controls(made, signal) {
  const play = h("button.icon-button.play", { type: "button", "aria-keyshortcuts": "Space" });
  const bar = h("input.seek", {
    type: "range",
    min: "0",
    max: "1",
    step: "0.001",
    value: "0",
    "aria-label": t("result.seek"),
  });
  const time = h("span.time");
  const repeat = h("input", { type: "checkbox", id: unique("repeat"), checked: true });
  const speed = h(
    "select",
    { "aria-label": t("result.speed") },
    ...SPEEDS.map((each) => h("option", { value: String(each), selected: each === 1 }, `${each}×`)),
  );
  const show = () => {
    const text = t(made.paused ? "action.play" : "action.pause");
    play.setAttribute("aria-label", text);
    play.title = text;
    fill(play, icon(made.paused ? "play" : "pause"));
  };
  const tick = () => {
    const length = made.duration || 0;
    bar.max = String(length || 1);
    bar.value = String(made.currentTime);
    bar.setAttribute(
      "aria-valuetext",
      t("result.at", { at: clock(made.currentTime, true), of: clock(length, true) }),
    );
    fill(time, `${clock(made.currentTime, true)} / ${clock(length, true)}`);
  };
  const toggle = () => (made.paused ? made.play().catch(() => {}) : made.pause());
  const seek = (seconds) => (made.currentTime = Math.min(Math.max(seconds, 0), made.duration || 0));
  made.loop = true;
  repeat.addEventListener("change", () => (made.loop = repeat.checked));
  speed.addEventListener("change", () => (made.playbackRate = Number(speed.value)));
  play.addEventListener("click", toggle);
  bar.addEventListener("input", () => seek(Number(bar.value)));
  for (const event of ["play", "pause"]) made.addEventListener(event, show, { signal });
  for (const event of ["timeupdate", "seeked", "loadedmetadata"])
    made.addEventListener(event, tick, { signal });
  made.addEventListener("click", toggle);
  signal.addEventListener("abort", () => made.pause());
  show();
  tick();
  const keyed = (event) => {
    if (event.target.closest("input, select, button, a, summary")) return;
    const keys = {
      " ": toggle,
      ",": () => seek(made.currentTime - STEP),
      ".": () => seek(made.currentTime + STEP),
    };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  };
  const back = h(
    "button.icon-button",
    {
      type: "button",
      title: t("result.back"),
      "aria-label": t("result.back"),
      onclick: () => seek(made.currentTime - STEP),
    },
    "‹",
  );
  const on = h(
    "button.icon-button",
    {
      type: "button",
      title: t("result.on"),
      "aria-label": t("result.on"),
      onclick: () => seek(made.currentTime + STEP),
    },
    "›",
  );
  const loop = h("label.check.small", { for: repeat.id }, repeat, h("span", {}, t("result.repeat")));
  return { element: h("div.controls", {}, play, back, on, bar, time, loop, speed), seek, keyed };
}
