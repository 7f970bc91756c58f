// What the report measured, in plain words: docs/quality.md has the sources of the borders.
import { h, icon } from "./dom.js";
import { clock, number, percent } from "./format.js";
import { language, t } from "./text.js";

const REAL = 0.5; // agreement of real talking people begins here
const LATE = 40; // ms: from here lips are seen to be early or late
const LEAK = 0.25;
const SOFT = 0.75; // of the source's sharpness
const SHAKY = 3; // levels above the source's flicker
const SHOWN = 8;

/** Return the parts of the page that tell a report; `seek` shows a moment. */
export function figures(report, seek) {
  return [quality(report), remarks(report, seek)].filter(Boolean);
}

function quality({ quality: found, frames, driven_frames: driven, faces }) {
  const cards = found
    ? [agreement(found), offset(found), leak(found), sharpness(found), flicker(found)].filter(Boolean)
    : [];
  const share = card(
    "driven",
    driven ? "good" : "poor",
    percent(frames ? driven / frames : 0),
    t("figure.driven.text", { count: faces, driven, frames }),
  );
  return h(
    "section.figures",
    { "aria-labelledby": "quality-title" },
    h("h2", { id: "quality-title" }, t("figure.title")),
    h("ul.cards", {}, ...cards, share),
    found ? null : h("p.muted", {}, t("figure.none")),
  );
}

/** A figure: its name, its value, a judgement in words (never by colour alone). */
function card(name, judgement, value, text) {
  return h(
    "li.card",
    { "data-judgement": judgement },
    h("span.card-name", {}, t(`figure.${name}.name`)),
    h("span.card-value", {}, value),
    h(
      "span.card-judgement",
      {},
      icon(judgement === "good" ? "check" : "warning"),
      t(`figure.judgement.${judgement}`),
    ),
    h("span.muted.small", {}, text),
  );
}

function agreement({ agreement: value, agreement_before: before, samples, unheard }) {
  if (value === null) return unheard ? null : card("agreement", "unknown", "–", t("figure.agreement.silent"));
  const chance = (2 * 0.79) / Math.sqrt(samples);
  const judgement = value >= REAL ? "good" : value > chance ? "fair" : "poor";
  const beside = before === null ? "" : ` ${t("figure.before", { value: number(before, 2) })}`;
  return card("agreement", judgement, number(value, 2), t(`figure.agreement.${judgement}`) + beside);
}

function offset({ agreement: value, offset_ms: ms }) {
  if (value === null) return null;
  const late = Math.abs(ms) >= LATE;
  const text = late ? t(ms > 0 ? "figure.offset.late" : "figure.offset.early") : t("figure.offset.fine");
  return card("offset", late ? "fair" : "good", t("figure.ms", { value: Math.round(ms) }), text);
}

function leak({ lip_leak: value, silent_samples: samples }) {
  if (value === null) return null;
  return card(
    "leak",
    value < LEAK ? "good" : "fair",
    percent(value),
    t("figure.leak.text", { count: samples }),
  );
}

function sharpness({ sharpness: value, sharpness_before: before }) {
  if (value === null || !before) return null;
  return card(
    "sharpness",
    value / before >= SOFT ? "good" : "fair",
    percent(value / before),
    t("figure.sharpness.text"),
  );
}

function flicker({ flicker: value, flicker_before: before }) {
  if (value === null || before === null) return null;
  const sign = value >= before ? "+" : "−";
  return card(
    "flicker",
    value - before < SHAKY ? "good" : "fair",
    `${sign}${number(Math.abs(value - before), 1)}`,
    t("figure.flicker.text"),
  );
}

/** Warnings: passages in the page's own words, with a way to their moment; the rest as the service says it. */
function remarks({ passages, warnings }, seek) {
  const timed = /^(at )?\d+:\d\d( to \d+:\d\d)?/;
  const plain = warnings.filter((text) => !timed.test(text));
  if (!plain.length && !passages.length) return null;
  const moments = passages.map(({ what, begin, end }) =>
    h(
      "li",
      {},
      h(
        "button.link",
        { type: "button", onclick: () => seek(begin) },
        t("figure.between", { begin: clock(begin), end: clock(end) }),
      ),
      " ",
      t(`figure.passage.${what}`),
    ),
  );
  const told = plain.map((text) => h("li", language === "en" ? {} : { lang: "en" }, text));
  const rest = moments.splice(SHOWN);
  const more = rest.length
    ? h("details", {}, h("summary", {}, t("figure.more", { count: rest.length })), h("ul", {}, ...rest))
    : null;
  return h(
    "section.remarks",
    { "aria-labelledby": "remarks-title" },
    h("h2", { id: "remarks-title" }, t("figure.remarks")),
    h("ul", {}, ...told, ...moments),
    more,
  );
}
