// The cues as a list of fields: who speaks, from when to when, and what.
import { fill, h, icon } from "./dom.js";
import { draft } from "./draft.js";
import { choices } from "./faces.js";
import { chooser, fileLine } from "./chooser.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const ADD = "add-cue";

/** Remove a cue; the focus goes on from where another is added. */
export function drop(cue) {
  draft.dropCue(cue);
  document.getElementById(ADD)?.focus();
}

/** Return the part of the page with the cues. */
export function cues(signal) {
  const list = h("ol.cues");
  const lead = h("p.muted");
  const add = h("button.second", { type: "button", id: ADD }, icon("plus"), t("cues.add"));
  add.addEventListener("click", () => {
    const cue = draft.addCue(gap());
    document.getElementById(`cue-start-${cue.id}`)?.focus();
  });
  let rows = "";
  const show = () => {
    const now = JSON.stringify(
      draft.cues
        .map(({ id, own, slot }) => [id, own, own && [Boolean(slot.file), slot.error, slot.lost]])
        .concat([choices()]),
    );
    if (now !== rows) fill(list, ...draft.cues.map((cue, place) => row(cue, place + 1, signal, show)));
    rows = now;
    for (const cue of draft.cues) refresh(cue);
    fill(lead, t(draft.cues.length ? "cues.some" : "cues.none"));
    add.disabled = !draft.duration;
  };
  draft.addEventListener("change", show, { signal });
  draft.video.addEventListener("change", show, { signal });
  draft.speech.addEventListener("change", show, { signal });
  show();
  return h(
    "section.cue-part",
    { "aria-labelledby": "cues-title" },
    h("div.part-head", {}, h("h2", { id: "cues-title" }, t("cues.title")), add),
    lead,
    list,
  );
}

/** Return a stretch that no cue has yet: behind the last one, or the whole. */
function gap() {
  const length = Math.round(draft.duration * 100) / 100;
  const last = Math.max(0, ...draft.cues.map((cue) => cue.end ?? length));
  return last + 0.5 < length ? { start: last, end: length } : { start: 0, end: length };
}

/** Whether another cue drives the same face at the same time. */
const clashes = (cue) =>
  draft.cues.some(
    (other) => other !== cue && other.face === cue.face && other.start < cue.end && cue.start < other.end,
  );

function seconds(cue, name, number, optional = false) {
  const id = `cue-${name}-${cue.id}`;
  const input = h("input", {
    id,
    type: "number",
    min: "0",
    step: "0.1",
    inputmode: "decimal",
    "aria-label": t(`cues.field.${name}`, { number }),
  });
  input.addEventListener("change", () => {
    const value = input.value === "" ? null : Number(input.value);
    if (value !== null || optional) draft.change(cue, { [name]: value });
    refresh(cue);
  });
  return h("label.field", { for: id }, h("span", {}, t(`cues.${name}_short`)), input);
}

function select(cue, name, number, options) {
  const id = `cue-${name}-${cue.id}`;
  const field = h(
    "select",
    { id, "aria-label": t(`cues.field.${name}`, { number }) },
    ...options.map(([value, text]) => h("option", { value }, text)),
  );
  field.addEventListener("change", () =>
    draft.change(cue, name === "own" ? { own: field.value === "own" } : { [name]: field.value }),
  );
  return h("label.field", { for: id }, h("span", {}, t(`cues.${name}_short`)), field);
}

function row(cue, number, signal, changed) {
  const remove = h(
    "button.icon-button",
    { type: "button", title: t("action.remove"), "aria-label": t("cues.remove", { number }) },
    icon("remove"),
  );
  remove.addEventListener("click", () => drop(cue));
  const speeches = [
    ["shared", t("cues.speech.shared")],
    ["own", t("cues.speech.own")],
  ];
  const own = cue.own
    ? cue.slot.file
      ? fileLine(cue.slot, signal)
      : chooser(cue.slot, "speech", "microphone")
    : null;
  cue.slot.addEventListener("change", changed, { signal });
  return h(
    "li.cue-row",
    { "data-cue": String(cue.id) },
    h("span.cue-number", { "aria-hidden": "true" }, String(number)),
    h(
      "div.cue-fields",
      {},
      seconds(cue, "start", number),
      seconds(cue, "end", number),
      select(cue, "face", number, choices()),
      select(cue, "own", number, speeches),
      seconds(cue, "offset", number, true),
    ),
    remove,
    h("div.cue-own", {}, own),
    h("div.cue-wrong"),
  );
}

/** Bring the fields of a cue in line with it, but for the one that is being written in. */
function refresh(cue) {
  const own = cue.own ? "own" : "shared";
  for (const [name, value] of Object.entries({
    start: cue.start,
    end: cue.end,
    face: cue.face,
    own,
    offset: cue.offset,
  })) {
    const field = document.getElementById(`cue-${name}-${cue.id}`);
    if (field && (field !== document.activeElement || field.type !== "number")) field.value = value ?? "";
    if (field && name === "offset") field.placeholder = String(own === "own" ? 0 : cue.start);
  }
  const place = document.querySelector(`[data-cue="${cue.id}"] .cue-wrong`);
  const code = cue.end <= cue.start ? "cue_order" : clashes(cue) ? "cue_clash" : null;
  if (place && place.dataset.code !== String(code)) {
    place.dataset.code = String(code);
    fill(place, code ? notice({ code }) : null);
  }
}

/** Whether all cues can be sent. */
export const fine = () => draft.cues.every((cue) => cue.end > cue.start && !clashes(cue));
