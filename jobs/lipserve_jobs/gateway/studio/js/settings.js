// How the result is made: tier, strength, style; the rest under "more".
import { dialog } from "./dialog.js";
import { fill, h, unique } from "./dom.js";
import { draft } from "./draft.js";
import { number } from "./format.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const TIERS = ["lipwarp", "wav2lip", "latentsync"];
const MISMATCH = ["loop", "repeat", "freeze", "remap", "cut", "silence", "keep"];
const PRESETS = ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];
const FINEST = ["latentsync"];

// Every option beside tier, strength and style: its field, its range, its default, the tiers that know it.
const MORE = [
  { name: "on_no_face", kind: "choice", values: ["error", "passthrough"] },
  { name: "sync_offset_ms", kind: "number", least: -500, most: 500, step: 10, usual: 0 },
  { name: "audio_track", kind: "number", least: 0, most: 63, step: 1 },
  { name: "background", kind: "flag" },
  { name: "background_lufs", kind: "number", least: -69, most: 0, step: 1 },
  { name: "loudness", kind: "number", least: -69, most: 0, step: 1 },
  { name: "crf", kind: "number", least: 0, most: 51, step: 1, usual: 18 },
  { name: "preset", kind: "choice", values: PRESETS, usual: "veryfast", plain: true },
  { name: "matte", kind: "text", usual: "white", pattern: "white|black|#[0-9a-fA-F]{6}" },
  { name: "mark", kind: "text", longest: 24, pattern: "[ -~]*" },
  { name: "steps", kind: "number", least: 1, most: 100, step: 1, usual: 20, tiers: FINEST },
  { name: "guidance", kind: "number", least: 1, most: 5, step: 0.1, usual: 1.5, tiers: FINEST },
  { name: "scheduler", kind: "choice", values: ["ddim", "dpm++"], plain: true, tiers: FINEST },
  { name: "seed", kind: "number", least: 0, most: Number.MAX_SAFE_INTEGER, step: 1, usual: 1247, tiers: FINEST },
  { name: "deepcache", kind: "number", least: 1, most: 10, step: 1, usual: 1, tiers: FINEST },
  { name: "priority", kind: "choice", values: ["normal", "high", "low"] },
];
const CONSENT = ["who", "when", "purpose", "record"];

/** Return the part of the page with the settings. */
export function settings(signal) {
  const look = h("div.look");
  const wrong = h("div");
  const more = h("button.second.wide", { type: "button", onclick: () => others() });
  let shown = "";
  const show = () => {
    fill(wrong, draft.problem && ["tier", "settings"].includes(draft.problem.about) ? notice(draft.problem) : null);
    const count = [...fitted().map(({ name }) => name), "consent"].filter((name) => name in draft.options).length;
    fill(more, count ? t("option.changed", { count }) : t("option.more"));
    const now = JSON.stringify([draft.tier, lengths()]);
    if (now === shown) return;
    shown = now;
    fill(look, h("p.muted.small", {}, t(`tier.${draft.tier}.text`)), ...(draft.tier === "lipwarp" ? [strength(), style()] : []), length());
  };
  draft.addEventListener("change", show, { signal });
  draft.video.addEventListener("change", show, { signal });
  show();
  return h("fieldset.part", {}, h("legend", {}, t("tier.title")), tiers(), wrong, look, more);
}

const fitted = () => MORE.filter((field) => !field.tiers || field.tiers.includes(draft.tier));

/** Show the other options in a dialog; each counts as soon as it is changed. */
function others() {
  const done = h("button.primary", { type: "button", onclick: () => opened.close() }, t("action.done"));
  const fields = h("div.more-fields", {}, ...fitted().map(option), consent());
  const opened = dialog(t("option.more"), [fields, h("div.actions", {}, done)]);
  opened.element.classList.add("broad");
}

function tiers() {
  const name = unique("tier");
  const cards = TIERS.map((tier) => {
    const input = h("input", { type: "radio", name, value: tier, checked: draft.tier === tier });
    input.addEventListener("change", () => draft.set({ tier, options: fitting(tier), problem: null }));
    return h("label.segment", {}, input, h("span", {}, t(`tier.${tier}.name`)));
  });
  return h("div.segments", { role: "radiogroup", "aria-label": t("tier.title") }, ...cards);
}

/** Return the options without those of other tiers, which a tier would refuse. */
function fitting(tier) {
  const foreign = MORE.filter((field) => field.tiers && !field.tiers.includes(tier)).map((field) => field.name);
  if (tier !== "lipwarp") foreign.push("strength", "style");
  return Object.fromEntries(Object.entries(draft.options).filter(([name]) => !foreign.includes(name)));
}

function strength() {
  const id = unique("strength");
  const value = draft.options.strength ?? 1;
  const input = h("input", { id, type: "range", min: "0.5", max: "1.5", step: "0.05", value: String(value), "aria-describedby": `${id}-hint` });
  const output = h("output", { for: id }, number(value, 2));
  input.addEventListener("input", () => {
    const chosen = Number(input.value);
    fill(output, number(chosen, 2));
    draft.option("strength", chosen === 1 ? null : chosen);
  });
  const head = h("span.field-head", {}, h("label", { for: id }, t("option.strength.label")), output);
  const ends = h("span.ends.small.muted", { id: `${id}-hint` }, h("span", {}, t("option.strength.least")), h("span", {}, t("option.strength.most")));
  return h("div.field", {}, head, input, ends);
}

function style() {
  const name = unique("style");
  const chosen = draft.options.style ?? "natural";
  const words = ["calm", "natural", "lively"].map((value) => {
    const input = h("input", { type: "radio", name, value, checked: value === chosen });
    input.addEventListener("change", () => draft.option("style", value === "natural" ? null : value));
    return h("label.segment", {}, input, h("span", {}, t(`option.style.${value}`)));
  });
  return h("div.field", {}, h("span.field-head", { id: `${name}-title` }, t("option.style.label")), h("div.segments", { role: "radiogroup", "aria-labelledby": `${name}-title` }, ...words));
}

/** Whether the lengths of video and speech are chosen here: cues, and people by number, settle them. */
const lengths = () => !draft.cues.length && !/^(speaking|\d+)$/.test(draft.face) && draft.video.media?.kind !== "picture";

function length() {
  if (!lengths()) return draft.video.media?.kind === "picture" ? null : h("p.muted.small", {}, t("option.on_length_mismatch.settled"));
  const field = { name: "on_length_mismatch", kind: "choice", values: MISMATCH };
  return option(field);
}

function option(field) {
  const { name } = field;
  const id = unique(name);
  const value = draft.options[name] ?? field.usual ?? "";
  const input = control(field, id, value);
  input.setAttribute("aria-describedby", `${id}-hint`);
  input.addEventListener("change", () => {
    if (!input.reportValidity()) return;
    const chosen = field.kind === "flag" ? input.checked : field.kind === "number" && input.value !== "" ? Number(input.value) : input.value;
    const usual = chosen === "" || chosen === false || chosen === field.usual || (field.kind === "choice" && !field.usual && chosen === field.values[0]);
    draft.option(name, usual ? null : chosen);
  });
  const hint = h("span.muted.small", { id: `${id}-hint` }, t(`option.${name}.hint`));
  if (field.kind === "flag") return h("label.check", { for: id }, input, h("span", {}, h("span", {}, t(`option.${name}.label`)), hint));
  return h("div.field", {}, h("label", { for: id }, t(`option.${name}.label`)), input, hint);
}

function control({ name, kind, values, plain, least, most, step, longest, pattern }, id, value) {
  if (kind === "flag") return h("input", { id, type: "checkbox", checked: Boolean(value) });
  if (kind === "text") return h("input", { id, type: "text", value: String(value), maxlength: longest && String(longest), pattern });
  if (kind === "number") {
    return h("input", { id, type: "number", min: String(least), max: String(most), step: String(step), value: String(value), inputmode: "decimal" });
  }
  const text = (each) => (plain ? each : t(`option.${name}.${each}`));
  return h("select", { id }, ...values.map((each) => h("option", { value: each, selected: each === value }, text(each))));
}

function consent() {
  const told = { ...(draft.options.consent ?? {}) };
  const fields = CONSENT.map((name) => {
    const id = unique(`consent-${name}`);
    const input = h("input", { id, type: name === "when" ? "date" : "text", value: told[name] ?? "", maxlength: "200" });
    input.addEventListener("change", () => {
      if (input.value) told[name] = input.value;
      else delete told[name];
      draft.option("consent", Object.keys(told).length ? { ...told } : null);
    });
    return h("div.field", {}, h("label", { for: id }, t(`option.consent.${name}`)), input);
  });
  return h("fieldset.consent", {}, h("legend", {}, t("option.consent.label")), h("p.muted.small", {}, t("option.consent.hint")), ...fields);
}
