// The preview of the video, with numbered boxes on the faces that were found.
import { fill, h, styled } from "./dom.js";
import { draft } from "./draft.js";
import { faceOf } from "./faces.js";
import { t } from "./text.js";

const NEAR = 0.5; // seconds around the moment in which a person is first seen

/** Return the preview of the draft's video; `clock` is told the place in time. */
export function stage(signal, moved = () => {}) {
  const { file, url, media } = draft.video;
  const frame = h("div.frame");
  if (!media?.shown) {
    fill(frame, h("p.no-preview.muted", {}, t(media ? "video.unshown" : "video.looking")));
    return { element: frame, player: null };
  }
  styled(frame, { "--ratio": String(media.width / media.height) });
  const still = media.kind === "picture";
  const player = still
    ? h("img", { src: url, alt: t("video.preview", { name: file.name }) })
    : h("video", { src: url, controls: true, playsInline: true, preload: "auto", "aria-label": t("video.preview", { name: file.name }) });
  const boxes = h("div.boxes");
  const show = () => fill(boxes, ...visible(player, still).map(box));
  if (!still) {
    for (const event of ["seeked", "pause", "play", "loadeddata"]) player.addEventListener(event, show, { signal });
    player.addEventListener("timeupdate", () => moved(player.currentTime), { signal });
  }
  draft.addEventListener("change", show, { signal });
  show();
  frame.append(player, boxes);
  return { element: frame, player: still ? null : player };
}

function visible(player, still) {
  const people = draft.people?.people ?? [];
  if (still) return people;
  if (!player.paused) return [];
  return people.filter((person) => Math.abs(person.begin - player.currentTime) < NEAR);
}

function box(person) {
  const { width, height } = draft.video.media;
  const [left, top, right, bottom] = person.box;
  const face = faceOf(person);
  const button = h(
    "button.box",
    { type: "button", "aria-pressed": String(draft.face === face), "aria-label": t("faces.take", { number: person.number }) },
    h("span", {}, String(person.number)),
  );
  button.addEventListener("click", () => {
    draft.set({ face });
    document.querySelector(`.box[aria-label="${CSS.escape(t("faces.take", { number: person.number }))}"]`)?.focus();
  });
  return styled(button, {
    "--left": `${(100 * left) / width}%`,
    "--top": `${(100 * top) / height}%`,
    "--width": `${(100 * (right - left)) / width}%`,
    "--height": `${(100 * (bottom - top)) / height}%`,
  });
}
