// The place where a file is dropped, chosen or recorded, and the line that tells how far it has come.
import { announce, fill, h, icon, unique } from "./dom.js";
import { bytes, clock, percent } from "./format.js";
import { notice } from "./notice.js";
import { possible, record } from "./record.js";
import { t } from "./text.js";

const ACCEPT = { video: "video/*,image/*,.mkv,.avi,.mpg,.mxf,.ts", speech: "audio/*,video/*,.mkv,.flac" };

/** Return the buttons of an empty slot, on a place that takes files that are dropped. */
export function chooser(slot, kind, device) {
  const id = unique("file");
  const input = h("input.unseen", {
    type: "file",
    id,
    accept: ACCEPT[kind],
    tabindex: "-1",
    "aria-hidden": "true",
  });
  input.addEventListener("change", () => input.files[0] && slot.choose(input.files[0]));
  const choose = h("button", { type: "button", onclick: () => input.click() }, t(`${kind}.choose`));
  choose.classList.add(kind === "video" ? "primary" : "second");
  const recording = h("button.quiet", { type: "button" }, icon(device), t(`${kind}.record`));
  recording.disabled = !possible();
  recording.addEventListener("click", async () => {
    const file = await record(device);
    if (file) await slot.choose(file);
  });
  const place = h(
    "div.drop",
    { "data-kind": kind },
    icon(kind === "video" ? "film" : "voice"),
    h("p.drop-title", {}, t(`${kind}.drop`)),
    h("p.muted", {}, t(`${kind}.kinds`)),
    h("div.actions", {}, choose, recording, input),
    possible() ? null : h("p.muted.small", {}, t("record.impossible")),
  );
  if (slot.lost) place.append(lost(slot));
  if (slot.error) place.append(notice(slot.error));
  takeDrops(place, (file) => slot.choose(file));
  return place;
}

function lost(slot) {
  return h("p.lost", { role: "status" }, icon("again"), t("upload.lost", { name: slot.lost.name }));
}

/** Let an element take files that are dropped on it. */
export function takeDrops(element, take) {
  const over = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    element.classList.toggle("over", event.type !== "dragleave");
  };
  element.addEventListener("dragenter", over);
  element.addEventListener("dragover", over);
  element.addEventListener("dragleave", over);
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}

/** Return the line of a file: its name, what it is, its way to the service; it follows the slot's changes. */
export function fileLine(slot, signal) {
  const state = h("span.state");
  const bar = h("progress", { max: 1, "aria-label": t("upload.progress", { name: slot.file.name }) });
  const trouble = h("div");
  const remove = h(
    "button.icon-button",
    { type: "button", title: t("action.remove"), "aria-label": t("upload.remove", { name: slot.file.name }) },
    icon("remove"),
  );
  remove.addEventListener("click", () => slot.clear());
  let was = null;
  const show = () => {
    const { upload, media } = slot;
    if (!upload) return;
    if (was && was !== upload.state && upload.state === "done")
      announce(t("upload.done", { name: slot.file.name }));
    was = upload.state;
    const share = upload.total ? upload.sent / upload.total : 1;
    bar.value = share;
    bar.hidden = upload.state === "done" || upload.state === "failed";
    const size = [media?.duration ? clock(media.duration) : null, bytes(upload.total)]
      .filter(Boolean)
      .join(" · ");
    const how = upload.state === "done" ? "" : ` · ${t(`upload.${upload.state}`, { share: percent(share) })}`;
    fill(state, size + how);
    state.dataset.state = upload.state;
    if (upload.state !== "failed") fill(trouble);
    else if (!trouble.firstChild) {
      fill(
        trouble,
        notice(
          upload.problem,
          h("button.second", { type: "button", onclick: () => slot.anew() }, t("action.again")),
        ),
      );
    }
  };
  slot.addEventListener("change", show, { signal });
  show();
  return h(
    "div.file",
    {},
    h(
      "div.file-row",
      {},
      h("div.file-words", {}, h("span.file-name", { title: slot.file.name }, slot.file.name), state),
      remove,
    ),
    bar,
    trouble,
    slot.error && notice(slot.error),
  );
}
