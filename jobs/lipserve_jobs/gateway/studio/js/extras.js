// All other options, in a dialog: each counts as soon as it is changed.
import { dialog } from "./dialog.js";
import { fill, h, unique } from "./dom.js";
import { draft } from "./draft.js";
import { t } from "./text.js";

const PRESETS = [
  "ultrafast",
  "superfast",
  "veryfast",
  "faster",
  "fast",
  "medium",
  "slow",
  "slower",
  "veryslow",
];
const FINEST = ["latentsync"];

// Every option beside tier, strength and style: its field, its range, its default, the tiers that know it.
const FIELDS = [
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
  { name: "invisible_mark", kind: "text", longest: 8, pattern: "[0-9a-f]{8}" },
  { name: "steps", kind: "number", least: 1, most: 100, step: 1, usual: 20, tiers: FINEST },
  { name: "guidance", kind: "number", least: 1, most: 5, step: 0.1, usual: 1.5, tiers: FINEST },
  { name: "scheduler", kind: "choice", values: ["ddim", "dpm++"], plain: true, tiers: FINEST },
  {
    name: "seed",
    kind: "number",
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    step: 1,
    usual: 1247,
    tiers: FINEST,
  },
  { name: "deepcache", kind: "number", least: 1, most: 10, step: 1, usual: 1, tiers: FINEST },
  { name: "priority", kind: "choice", values: ["normal", "high", "low"] },
];
const CONSENT = ["who", "when", "purpose", "record"];

/** Return the names of options that a tier does not know. */
export const foreign = (tier) =>
  FIELDS.filter((field) => field.tiers && !field.tiers.includes(tier)).map((field) => field.name);

const fitted = () => FIELDS.filter((field) => !field.tiers || field.tiers.includes(draft.tier));

/** Return the button that opens the dialog; it says how many options are changed. */
export function extras(signal) {
  const button = h("button.second.wide", { type: "button", onclick: open });
  const show = () => {
    const names = [...fitted().map((field) => field.name), "consent"];
    const count = names.filter((name) => name in draft.options).length;
    fill(button, count ? t("option.changed", { count }) : t("option.more"));
  };
  draft.addEventListener("change", show, { signal });
  show();
  return button;
}

function open() {
  const done = h("button.primary", { type: "button", onclick: () => opened.close() }, t("action.done"));
  const fields = h("div.more-fields", {}, ...fitted().map(option), consent());
  const opened = dialog(t("option.more"), [fields, h("div.actions", {}, done)]);
  opened.element.classList.add("broad");
}

/** Return the field of an option. */
export function option(field) {
  const { name } = field;
  const id = unique(name);
  const value = draft.options[name] ?? field.usual ?? "";
  const input = control(field, id, value);
  input.setAttribute("aria-describedby", `${id}-hint`);
  input.addEventListener("change", () => {
    if (!input.reportValidity()) return;
    const chosen = valueOf(input);
    const first = field.usual ?? (field.kind === "choice" ? field.values[0] : undefined);
    const usual = chosen === "" || chosen === false || chosen === first;
    draft.option(name, usual ? null : chosen);
  });
  const hint = h("span.muted.small", { id: `${id}-hint` }, t(`option.${name}.hint`));
  if (field.kind === "flag")
    return h(
      "label.check",
      { for: id },
      input,
      h("span", {}, h("span", {}, t(`option.${name}.label`)), hint),
    );
  return h("div.field", {}, h("label", { for: id }, t(`option.${name}.label`)), input, hint);
}

function valueOf(input) {
  if (input.type === "checkbox") return input.checked;
  return input.type === "number" && input.value !== "" ? Number(input.value) : input.value;
}

function control({ name, kind, values, plain, least, most, step, longest, pattern }, id, value) {
  if (kind === "flag") return h("input", { id, type: "checkbox", checked: Boolean(value) });
  if (kind === "text")
    return h("input", {
      id,
      type: "text",
      value: String(value),
      maxlength: longest && String(longest),
      pattern,
    });
  if (kind === "number") {
    return h("input", {
      id,
      type: "number",
      min: String(least),
      max: String(most),
      step: String(step),
      value: String(value),
      inputmode: "decimal",
    });
  }
  const text = (each) => (plain ? each : t(`option.${name}.${each}`));
  return h(
    "select",
    { id },
    ...values.map((each) => h("option", { value: each, selected: each === value }, text(each))),
  );
}

function consent() {
  const told = { ...(draft.options.consent ?? {}) };
  const fields = CONSENT.map((name) => {
    const id = unique(`consent-${name}`);
    const input = h("input", {
      id,
      type: name === "when" ? "date" : "text",
      value: told[name] ?? "",
      maxlength: "200",
    });
    input.addEventListener("change", () => {
      if (input.value) told[name] = input.value;
      else delete told[name];
      draft.option("consent", Object.keys(told).length ? { ...told } : null);
    });
    return h("div.field", {}, h("label", { for: id }, t(`option.consent.${name}`)), input);
  });
  return h(
    "fieldset.consent",
    {},
    h("legend", {}, t("option.consent.label")),
    h("p.muted.small", {}, t("option.consent.hint")),
    ...fields,
  );
}
