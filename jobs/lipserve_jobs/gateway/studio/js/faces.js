// Who is there: a job of kind `faces` gives everybody a number, and one of them is chosen.
import { call, job as path } from "./api.js";
import { announce, fill, h, icon, unique } from "./dom.js";
import { draft } from "./draft.js";
import { ended } from "./follow.js";
import { lasting, percent } from "./format.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const FIRST = 0.2; // seconds: who is seen so early is found by a pixel

/** Return what names a person: a pixel of their face, or their number where the video has several shots. */
export function faceOf(person) {
  if ((draft.people?.shots.length ?? 1) > 1 || person.begin > FIRST) return String(person.number);
  const [left, top, right, bottom] = person.box;
  return `${Math.round((left + right) / 2)},${Math.round((top + bottom) / 2)}`;
}

/** Return all ways to name faces, with their texts. */
export function choices() {
  const people = draft.people?.people ?? [];
  return [
    ["largest", t("faces.largest")],
    ["all", t("faces.all")],
    ...(draft.video.media?.kind === "picture" ? [] : [["speaking", t("faces.speaking")]]),
    ...people.map((person) => [faceOf(person), t("faces.person", { number: person.number })]),
  ];
}

/** Return the part of the page in which the face is chosen; `seek` shows a moment of the video. */
export function faces(signal, seek) {
  const name = unique("face");
  const list = h("div.faces", { role: "radiogroup", "aria-label": t("faces.title") });
  const asking = h("div.asking");
  const hint = h("p.muted.small", {}, t("faces.cues"));
  const show = () => {
    hint.hidden = !draft.cues.length;
    const focused = list.contains(document.activeElement) ? document.activeElement.value : null;
    fill(list, ...choices().map(([face, text]) => card(name, face, text, seek)));
    if (focused) [...list.querySelectorAll("input")].find((input) => input.value === focused)?.focus();
  };
  let shown = "";
  const changed = () => {
    const now = JSON.stringify([draft.face, draft.people, draft.video.media?.kind, draft.cues.length]);
    if (now !== shown) show();
    shown = now;
  };
  draft.addEventListener("change", changed, { signal });
  draft.video.addEventListener("change", changed, { signal });
  changed();
  look(asking, signal);
  return h("fieldset.part", {}, h("legend", {}, t("faces.title")), hint, list, asking);
}

function card(name, face, text, seek) {
  const person = draft.people?.people.find((each) => faceOf(each) === face);
  const input = h("input", { type: "radio", name, value: face, checked: draft.face === face });
  input.addEventListener("change", () => {
    draft.set({ face });
    if (person) seek(person.begin);
  });
  const seen =
    person?.seen &&
    t(person.speaking ? "faces.seen" : "faces.silent", {
      seen: lasting(person.seen),
      speaking: lasting(person.speaking),
    });
  const picture = person
    ? portrait(person)
    : icon(face === "largest" ? "person" : face === "all" ? "people" : "voice");
  return h(
    "label.face",
    {},
    input,
    h("span.face-picture", {}, picture),
    h("span.face-words", {}, h("span.face-name", {}, text), seen && h("span.muted.small", {}, seen)),
  );
}

/** Return a picture of a face, cut from the video at the moment in which it is first seen. */
function portrait(person) {
  const canvas = h("canvas", { width: 96, height: 96, "aria-hidden": "true" });
  const { url, media } = draft.video;
  if (!media?.shown) return icon("person");
  const [left, top, right, bottom] = person.box;
  const side = Math.max(right - left, bottom - top) * 1.3;
  const draw = (picture) =>
    canvas
      .getContext("2d")
      .drawImage(picture, (left + right - side) / 2, (top + bottom - side) / 2, side, side, 0, 0, 96, 96);
  if (media.kind === "picture") {
    const image = new Image();
    image.onload = () => draw(image);
    image.src = url;
  } else {
    const video = h("video", { muted: true, preload: "auto", src: url });
    video.addEventListener("seeked", () => draw(video), { once: true });
    video.addEventListener("loadeddata", () => (video.currentTime = person.begin + 0.02), { once: true });
  }
  return canvas;
}

/** The button that has the video looked through, and what comes of it. */
function look(place, signal) {
  const idle = () => {
    const button = h(
      "button.second.wide",
      { type: "button" },
      icon("people"),
      t(draft.people ? "faces.again" : "faces.look"),
    );
    button.disabled = !draft.video.ready;
    button.addEventListener("click", () => begin());
    fill(
      place,
      button,
      draft.people && sheet(draft.people.id),
      draft.video.ready ? null : h("p.muted.small", {}, t("faces.later")),
    );
  };
  const watch = async (id) => {
    const state = h("p.muted", { role: "status" }, t("faces.looking"));
    const bar = h("progress", { "aria-label": t("faces.looking") });
    const stop = h(
      "button.quiet",
      { type: "button", onclick: () => call(path(id), { method: "DELETE" }).catch(() => {}) },
      t("action.cancel"),
    );
    fill(place, state, bar, stop);
    const hear = ({ progress }) => {
      if (progress.frames) Object.assign(bar, { max: progress.frames, value: progress.frames_done });
      if (progress.frames)
        fill(state, t("faces.share", { share: percent(progress.frames_done / progress.frames) }));
    };
    const view = await ended(id, { hear, signal });
    if (view?.state === "done") return found(id);
    draft.set({ looking: null });
    idle();
    if (view?.error) place.prepend(notice(view.error));
  };
  const found = async (id) => {
    const { people, shots } = await call(path(id, "result"));
    draft.set({ looking: null, people: { id, people, shots } });
    announce(t("faces.found", { count: people.length }));
    idle();
    if (!people.length) place.prepend(notice({ code: "no_face" }));
  };
  const begin = async () => {
    try {
      const view = await call("v1/jobs", { method: "POST", json: draft.request("faces") });
      draft.set({ looking: view.id });
      await watch(view.id);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      draft.set({ looking: null });
      idle();
      place.prepend(notice(problem));
    }
  };
  let ready = draft.video.ready;
  draft.video.addEventListener(
    "change",
    () => {
      if (ready !== draft.video.ready && !draft.looking) idle();
      ready = draft.video.ready;
    },
    { signal },
  );
  idle();
  if (draft.looking) watch(draft.looking);
}

function sheet(id) {
  const picture = h("img", { loading: "lazy", src: path(id, "sheet"), alt: t("faces.sheet.text") });
  return h("details.sheet", {}, h("summary", {}, t("faces.sheet.title")), picture);
}
