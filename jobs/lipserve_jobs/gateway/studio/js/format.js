// Numbers, sizes and times as the language writes them.
import { language, t } from "./text.js";

const numbers = (options) => new Intl.NumberFormat(language, options);

export const number = (value, digits = 0) =>
  numbers({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

export const percent = (share) => numbers({ style: "percent", maximumFractionDigits: 0 }).format(share);

const unit = (value, name, digits = 0) =>
  numbers({ style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits }).format(value);

export function bytes(size) {
  const names = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let place = 0;
  while (size >= 1000 && place < names.length - 1) {
    size /= 1000;
    place += 1;
  }
  return unit(size, names[place], size < 10 && place > 0 ? 1 : 0);
}

/** Return a place in time: 0:07.4, 12:03, 1:02:03. */
export function clock(seconds, tenths = false) {
  const whole = tenths ? Math.floor(seconds + 1e-6) : Math.round(seconds);
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  const text = parts.map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":");
  return tenths ? `${text}.${Math.floor((seconds - whole) * 10 + 1e-6)}` : text;
}

/** Return how long something lasts: 8 sec, 3 min, 1 hr 5 min. */
export function lasting(seconds) {
  if (seconds < 90) return unit(seconds, "second", seconds < 10 ? 1 : 0);
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return unit(minutes, "minute");
  return `${unit(Math.floor(minutes / 60), "hour")} ${unit(minutes % 60, "minute")}`;
}

export const date = (text) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));

/** Return how long ago a moment was: 5 minutes ago. */
export function ago(text) {
  const seconds = (Date.now() - new Date(text)) / 1000;
  if (seconds < 45) return t("time.now");
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  for (const [name, size] of [
    ["day", 86400],
    ["hour", 3600],
    ["minute", 60],
  ]) {
    if (seconds >= size || name === "minute")
      return relative.format(-Math.max(1, Math.round(seconds / size)), name);
  }
}
