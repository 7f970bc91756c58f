// The speech as a waveform, with the cues as blocks that are dragged, or moved with the arrow keys.
import { drop } from "./cues.js";
import { fill, h, icon, styled } from "./dom.js";
import { draft } from "./draft.js";
import { clock } from "./format.js";
import { draw } from "./peaks.js";
import { t } from "./text.js";

const LEAST = 0.2; // seconds that a cue lasts at least
const FINE = 0.1;
const COARSE = 1;
const round = (seconds) => Math.round(seconds * 100) / 100;
const within = (value, least, most) => Math.min(Math.max(value, least), most);

/** Return the timeline; `seek` is told where in the video somebody points. */
export function timeline(signal, seek) {
  const canvas = h("canvas.wave", { "aria-hidden": "true" });
  const blocks = h("div.blocks");
  const head = h("div.head", { "aria-hidden": "true" });
  const ruler = h("div.ruler", { "aria-hidden": "true" });
  const track = h("div.track", { dir: "ltr" }, canvas, blocks, head);
  const listen = speechPlayer(signal, head);
  const length = () => Math.max(draft.duration, 0.1);

  const wave = () => {
    const { waveform } = draft.speech;
    const share = waveform ? waveform.duration / length() : 1;
    draw(canvas, waveform?.peaks, share);
    canvas.classList.toggle("whole", !draft.cues.length);
    fill(ruler, ...ticks(length()));
  };
  const show = () => {
    const held = document.activeElement?.dataset?.part;
    fill(blocks, ...draft.cues.flatMap((cue, place) => block(cue, place + 1, length, blocks)));
    if (held) blocks.querySelector(`[data-part="${held}"]`)?.focus();
    wave();
  };
  track.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".cue, .handle")) return;
    const { left, width } = track.getBoundingClientRect();
    seek(within((event.clientX - left) / width, 0, 1) * length());
  });
  draft.addEventListener("change", show, { signal });
  draft.speech.addEventListener("change", wave, { signal });
  draft.video.addEventListener("change", show, { signal });
  const watcher = new ResizeObserver(wave);
  watcher.observe(track);
  signal.addEventListener("abort", () => watcher.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", wave, { signal });
  addEventListener("themechange", wave, { signal });
  show();
  const moved = (seconds) => styled(head, { "--at": `${(100 * seconds) / length()}%` });
  return { element: h("div.timeline", {}, listen, h("div.tracks", {}, track, ruler)), moved };
}

function ticks(length) {
  const step = [0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800].find((each) => length / each <= 8) ?? 3600;
  const found = [];
  for (let at = 0; at <= length; at += step) {
    found.push(styled(h("span", {}, clock(at, step < 1)), { "--at": `${(100 * at) / length}%` }));
  }
  return found;
}

function speechPlayer(signal, head) {
  const audio = new Audio();
  const button = h("button.icon-button", { type: "button" });
  const show = () => {
    const text = t(audio.paused ? "speech.play" : "speech.pause");
    button.setAttribute("aria-label", text);
    button.title = text;
    fill(button, icon(audio.paused ? "play" : "pause"));
  };
  const load = () => {
    if (draft.speech.url && audio.getAttribute("src") !== draft.speech.url) audio.src = draft.speech.url;
    button.disabled = !draft.speech.url;
  };
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, show, { signal });
  audio.addEventListener(
    "timeupdate",
    () => {
      styled(head, { "--at": `${(100 * audio.currentTime) / Math.max(draft.duration, 0.1)}%` });
    },
    { signal },
  );
  button.addEventListener("click", () => (audio.paused ? audio.play() : audio.pause()));
  signal.addEventListener("abort", () => audio.pause());
  draft.speech.addEventListener("change", load, { signal });
  load();
  show();
  return button;
}

/** Return the block of a cue and its two handles: each is a slider of its own for keyboards and screen readers. */
function block(cue, number, length, blocks) {
  const end = () => cue.end ?? length();
  const place = (start, stop) => ({
    "--start": `${(100 * start) / length()}%`,
    "--stop": `${(100 * stop) / length()}%`,
  });
  const change = (part, to) => {
    if (part === "whole") {
      const start = within(to, 0, Math.max(0, length() - (end() - cue.start)));
      return { start: round(start), end: round(start + end() - cue.start) };
    }
    if (part === "start") return { start: round(within(to, 0, end() - LEAST)) };
    return { end: round(within(to, cue.start + LEAST, length())) };
  };
  const slider = (part, value) => {
    const element = h(part === "whole" ? "div.cue" : "div.handle", {
      role: "slider",
      tabindex: "0",
      "data-part": `${part}-${cue.id}`,
      "data-edge": part,
      "aria-label": t(`cues.${part}`, { number }),
      "aria-valuemin": "0",
      "aria-valuemax": String(round(length())),
      "aria-valuenow": String(value()),
      "aria-valuetext":
        part === "whole"
          ? t("cues.from_to", { start: clock(cue.start, true), end: clock(end(), true) })
          : clock(value(), true),
    });
    element.addEventListener("keydown", (event) => keyed(event, cue, part, value, change, length));
    element.addEventListener("pointerdown", (event) =>
      dragged(event, blocks, length, value(), (to, last) => {
        const fields = change(part, to);
        if (last) draft.change(cue, fields);
        else for (const each of made) styled(each, place(fields.start ?? cue.start, fields.end ?? end()));
      }),
    );
    return styled(element, place(cue.start, end()));
  };
  const made = [slider("whole", () => cue.start), slider("start", () => cue.start), slider("end", end)];
  made[0].append(h("span.cue-name", {}, String(number)));
  return made;
}

function keyed(event, cue, part, value, change, length) {
  const step = event.shiftKey ? COARSE : FINE;
  const moves = {
    ArrowLeft: -step,
    ArrowDown: -step,
    ArrowRight: step,
    ArrowUp: step,
    PageUp: COARSE,
    PageDown: -COARSE,
  };
  const ends = { Home: 0, End: length() };
  if (event.key === "Delete" && part === "whole") drop(cue);
  else if (event.key in moves) draft.change(cue, change(part, value() + moves[event.key]));
  else if (event.key in ends) draft.change(cue, change(part, ends[event.key]));
  else return;
  event.preventDefault();
}

function dragged(event, blocks, length, began, move) {
  event.preventDefault();
  event.currentTarget.focus();
  const target = event.currentTarget;
  target.setPointerCapture(event.pointerId);
  const from = event.clientX;
  const { width } = blocks.getBoundingClientRect();
  const to = (now) => began + ((now.clientX - from) / width) * length();
  const moving = (now) => move(to(now), false);
  const end = (now) => {
    target.removeEventListener("pointermove", moving);
    if (now.clientX !== from) move(to(now), true);
  };
  target.addEventListener("pointermove", moving);
  target.addEventListener("pointerup", end, { once: true });
  target.addEventListener("pointercancel", end, { once: true });
}
