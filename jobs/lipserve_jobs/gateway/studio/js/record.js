// Recording with the camera or the microphone: MediaRecorder, in a dialog.
import { announce, fill, h, icon } from "./dom.js";
import { dialog } from "./dialog.js";
import { clock } from "./format.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const TYPES = {
  camera: ["video/mp4;codecs=avc1,mp4a.40.2", "video/webm;codecs=vp9,opus", "video/webm"],
  microphone: ["audio/mp4;codecs=mp4a.40.2", "audio/webm;codecs=opus", "audio/webm"],
};

/** Whether this browser can record: only on pages of this machine, and over https. */
export const possible = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

/** Open the dialog; return the recording as a file, or null. */
export async function record(device) {
  let stream = null;
  let recorder = null;
  let file = null;
  let timer = 0;
  const view = h("div.record-view", {}, h("p.muted", {}, t("record.asking")));
  const time = h("p.record-time", { role: "timer" }, clock(0));
  const button = h("button.primary", { type: "button", disabled: true }, t("record.start"));
  const cancel = h("button.quiet", { type: "button", onclick: () => opened.close() }, t("action.cancel"));
  const done = Promise.withResolvers ? Promise.withResolvers() : resolvers();
  const end = () => {
    clearInterval(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
    done.resolve(file);
  };
  const opened = dialog(t(`record.${device}`), [view, h("div.actions", {}, time, cancel, button)], end);

  try {
    stream = await navigator.mediaDevices.getUserMedia(
      device === "camera" ? { video: { width: { ideal: 1280 } }, audio: true } : { audio: true },
    );
  } catch (error) {
    fill(view, notice({ code: error.name === "NotAllowedError" ? "not_allowed" : `no_${device}` }));
    return done.promise;
  }
  if (!opened.element.isConnected) {
    end();
    return done.promise;
  }
  fill(view, device === "camera" ? mirror(stream) : h("div.record-sound", {}, icon("microphone")));
  button.disabled = false;
  button.focus();
  button.addEventListener("click", () => (recorder ? recorder.stop() : begin()));

  function begin() {
    const mimeType = TYPES[device].find((type) => MediaRecorder.isTypeSupported(type));
    const chunks = [];
    recorder = new MediaRecorder(stream, mimeType ? { mimeType } : {});
    recorder.ondataavailable = (event) => chunks.push(event.data);
    recorder.onstop = () => {
      const type = recorder.mimeType.split(";")[0];
      const name = `${t(`record.name.${device}`)}.${type.split("/")[1]}`;
      file = new File(chunks, name, { type, lastModified: Date.now() });
      opened.close();
    };
    recorder.start(1000);
    const began = performance.now();
    timer = setInterval(() => fill(time, clock((performance.now() - began) / 1000)), 250);
    fill(button, t("record.stop"));
    view.classList.add("recording");
    announce(t("record.running"));
  }
  return done.promise;
}

function mirror(stream) {
  const video = h("video", {
    muted: true,
    autoplay: true,
    playsInline: true,
    "aria-label": t("record.view"),
  });
  video.srcObject = stream;
  return video;
}

function resolvers() {
  const made = {};
  made.promise = new Promise((resolve) => (made.resolve = resolve));
  return made;
}
