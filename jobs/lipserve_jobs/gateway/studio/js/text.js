// Every text of the page, from texts/LANGUAGE.json; plurals and numbers as the language has them.
import { preference } from "./keep.js";

let words = {};
let plural = new Intl.PluralRules("en");
export let language = "en";
export let languages = {};

const found = (key) => key.split(".").reduce((part, name) => part?.[name], words);
const shown = (value) => (typeof value === "number" ? new Intl.NumberFormat(language).format(value) : value);

/** Return the text of a key; `{name}` stands for values[name], and values.count chooses the plural. */
export function t(key, values = {}) {
  let text = found(key);
  if (text && typeof text === "object") text = text[plural.select(values.count)] ?? text.other;
  if (typeof text !== "string") throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name] ?? ""));
}

/** Whether there is a text of a key: for codes that a service of tomorrow may bring. */
export const has = (key) => found(key) !== undefined;

function chosen() {
  const wanted = [preference("language"), ...navigator.languages.map((each) => each.split("-")[0])];
  return wanted.find((each) => each in languages) ?? "en";
}

/** Load the texts of the language that was chosen, or that the browser prefers. */
export async function load() {
  languages = await (await fetch("texts/languages.json")).json();
  language = chosen();
  words = await (await fetch(`texts/${language}.json`)).json();
  plural = new Intl.PluralRules(language);
  document.documentElement.lang = language;
  document.documentElement.dir = languages[language].dir;
  for (const element of document.querySelectorAll("[data-text]")) {
    element.textContent = t(element.dataset.text);
  }
}
