// The preview of the video, with numbered boxes on the faces that were found.
import { fill, h, styled } from "./dom.js";
import { draft } from "./draft.js";
import { faceOf } from "./faces.js";
import { t } from "./text.js";

const NEAR = 0.5; // seconds around the moment in which a person is first seen

/** Return the preview of the draft's video, and what shows a moment of it; `moved` is told the moment that it shows. */
export function stage(signal, moved) {
  const frame = h("div.frame");
  const boxes = h("div.boxes");
  let player = null;
  const show = () => player && fill(boxes, ...visible(player).map(box));
  const open = () => {
    const { url, media } = draft.video;
    if (!media?.shown) fill(frame, h("p.no-preview.muted", {}, t(media ? "video.unshown" : "video.looking")));
    if (!media?.shown || player) return;
    player = media.kind === "picture" ? picture(url) : film(url, signal, show, moved);
    styled(frame, { "--ratio": String(media.width / media.height) });
    fill(frame, player, boxes);
    show();
  };
  draft.addEventListener("change", show, { signal });
  draft.video.addEventListener("change", open, { signal });
  open();
  const seek = (seconds) => {
    if (player?.tagName === "VIDEO") player.currentTime = seconds;
  };
  return { element: frame, seek };
}

const picture = (src) => h("img", { src, alt: t("video.preview", { name: draft.video.file.name }) });

function film(src, signal, show, moved) {
  const label = t("video.preview", { name: draft.video.file.name });
  const player = h("video", { src, controls: true, playsInline: true, preload: "auto", "aria-label": label });
  for (const event of ["seeked", "pause", "play", "loadeddata"])
    player.addEventListener(event, show, { signal });
  player.addEventListener("timeupdate", () => moved(player.currentTime), { signal });
  return player;
}

function visible(player) {
  const people = draft.people?.people ?? [];
  if (player.tagName !== "VIDEO") return people;
  if (!player.paused) return [];
  return people.filter((person) => Math.abs(person.begin - player.currentTime) < NEAR);
}

function box(person) {
  const { width, height } = draft.video.media;
  const [left, top, right, bottom] = person.box;
  const face = faceOf(person);
  const button = h(
    "button.box",
    {
      type: "button",
      "aria-pressed": String(draft.face === face),
      "aria-label": t("faces.take", { number: person.number }),
    },
    h("span", {}, String(person.number)),
  );
  button.addEventListener("click", () => {
    draft.set({ face });
    document
      .querySelector(`.box[aria-label="${CSS.escape(t("faces.take", { number: person.number }))}"]`)
      ?.focus();
  });
  return styled(button, {
    "--left": `${(100 * left) / width}%`,
    "--top": `${(100 * top) / height}%`,
    "--width": `${(100 * (right - left)) / width}%`,
    "--height": `${(100 * (bottom - top)) / height}%`,
  });
}
