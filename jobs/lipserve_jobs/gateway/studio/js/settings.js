// How the result is made: tier, strength, style; the rest under "more".
import { fill, h, unique } from "./dom.js";
import { draft } from "./draft.js";
import { extras, foreign, option } from "./extras.js";
import { number } from "./format.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const TIERS = ["lipwarp", "wav2lip", "latentsync"];
const MISMATCH = ["loop", "repeat", "freeze", "remap", "cut", "silence", "keep"];

/** Return the part of the page with the settings. */
export function settings(signal) {
  const choice = h("div.tiers");
  const look = h("div.look");
  const wrong = h("div");
  let shown = "";
  const show = () => {
    fill(
      wrong,
      draft.problem && ["tier", "settings"].includes(draft.problem.about) ? notice(draft.problem) : null,
    );
    const now = JSON.stringify([draft.tier, lengths()]);
    if (now === shown) return;
    shown = now;
    fill(
      look,
      h("p.muted.small", {}, t(`tier.${draft.tier}.text`)),
      ...(draft.tier === "lipwarp" ? [strength(), style()] : []),
      length(),
    );
  };
  const offer = () => {
    if (!offered().includes(draft.tier)) choose(offered()[0]);
    fill(choice, tiers());
  };
  draft.addEventListener("offered", offer, { signal });
  draft.addEventListener("change", show, { signal });
  draft.video.addEventListener("change", show, { signal });
  offer();
  show();
  return h("fieldset.part", {}, h("legend", {}, t("tier.title")), choice, wrong, look, extras(signal));
}

/** Return the tiers that may be chosen. */
const offered = () => TIERS.filter((tier) => draft.offered?.includes(tier) ?? true);
const choose = (tier) => draft.set({ tier, options: fitting(tier), problem: null });

function tiers() {
  const name = unique("tier");
  const cards = offered().map((tier) => {
    const input = h("input", { type: "radio", name, value: tier, checked: draft.tier === tier });
    input.addEventListener("change", () => choose(tier));
    return h("label.segment", {}, input, h("span", {}, t(`tier.${tier}.name`)));
  });
  return h("div.segments", { role: "radiogroup", "aria-label": t("tier.title") }, ...cards);
}

/** Return the options without those of other tiers, which a tier would refuse. */
function fitting(tier) {
  const refused = [...foreign(tier), ...(tier === "lipwarp" ? [] : ["strength", "style"])];
  return Object.fromEntries(Object.entries(draft.options).filter(([name]) => !refused.includes(name)));
}

function strength() {
  const id = unique("strength");
  const value = draft.options.strength ?? 1;
  const input = h("input", {
    id,
    type: "range",
    min: "0.5",
    max: "1.5",
    step: "0.05",
    value: String(value),
    "aria-describedby": `${id}-hint`,
  });
  const output = h("output", { for: id }, number(value, 2));
  input.addEventListener("input", () => {
    const chosen = Number(input.value);
    fill(output, number(chosen, 2));
    draft.option("strength", chosen === 1 ? null : chosen);
  });
  const head = h("span.field-head", {}, h("label", { for: id }, t("option.strength.label")), output);
  const ends = h(
    "span.ends.small.muted",
    { id: `${id}-hint` },
    h("span", {}, t("option.strength.least")),
    h("span", {}, t("option.strength.most")),
  );
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
  return h(
    "div.field",
    {},
    h("span.field-head", { id: `${name}-title` }, t("option.style.label")),
    h("div.segments", { role: "radiogroup", "aria-labelledby": `${name}-title` }, ...words),
  );
}

/** Whether it is chosen here what happens with different lengths. A picture has no length. */
const lengths = () => !draft.settled && draft.video.media?.kind !== "picture";

function length() {
  if (lengths()) return option({ name: "on_length_mismatch", kind: "choice", values: MISMATCH });
  return draft.settled ? h("p.muted.small", {}, t("option.on_length_mismatch.settled")) : null;
}
