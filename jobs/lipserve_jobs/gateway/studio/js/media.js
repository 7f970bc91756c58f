// What a file is, as far as the browser can tell before anything is sent.

const WAIT = 8000;

/** Return the kind that a file's type names: video, picture, sound, other; null: its type says nothing. */
export function kindOf(file) {
  const [major] = file.type.split("/");
  if (major === "video") return "video";
  if (major === "image") return "picture";
  if (major === "audio") return "sound";
  if (!file.type || file.type === "application/octet-stream" || file.type === "application/mxf") return null;
  return "other";
}

function loaded(element, event, url) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), WAIT);
    const end = (fine) => {
      clearTimeout(timer);
      resolve(fine);
    };
    element.addEventListener(event, () => end(true), { once: true });
    element.addEventListener("error", () => end(false), { once: true });
    element.src = url;
  });
}

async function lengthOf(element) {
  if (Number.isFinite(element.duration)) return element.duration;
  // A recording of a browser does not say how long it is: the end tells.
  element.currentTime = 1e7;
  await new Promise((resolve) => {
    element.addEventListener("seeked", resolve, { once: true });
    setTimeout(resolve, WAIT);
  });
  const length = element.duration;
  element.currentTime = 0;
  return Number.isFinite(length) ? length : 0;
}

/**
 * Return {kind, width, height, duration, shown} of a file; `shown`: this browser can play it.
 * A file that it cannot play may be one that the service reads.
 */
export async function look(file, url) {
  const kind = kindOf(file);
  const nothing = { kind: kind ?? "video", width: 0, height: 0, duration: 0, shown: false };
  if (kind === "picture") {
    const image = new Image();
    if (!(await loaded(image, "load", url))) return nothing;
    return { kind, width: image.naturalWidth, height: image.naturalHeight, duration: 0, shown: true };
  }
  const video = document.createElement("video");
  video.preload = "metadata";
  if (!(await loaded(video, "loadedmetadata", url))) return nothing;
  const duration = await lengthOf(video);
  const { videoWidth: width, videoHeight: height } = video;
  video.removeAttribute("src");
  video.load();
  return {
    kind: width ? (kind ?? "video") : "sound",
    width,
    height,
    duration,
    shown: width > 0 || kind === "sound",
  };
}
