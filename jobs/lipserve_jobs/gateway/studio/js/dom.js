// Elements, announcements, icons.

/** Return an element: h("button.quiet", {onclick, "aria-label": text}, ...children). */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && typeof value !== "string") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `icons.svg#${name}`);
  svg.append(use);
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  return svg;
}

/** Set a custom property, which the page's style sheets read: no style attribute is written in markup. */
export function styled(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
  return element;
}

/** Tell those who listen to the page instead of looking at it. */
export function announce(text, urgent = false) {
  const line = document.getElementById(urgent ? "urgent" : "polite");
  if (line.textContent === text) line.textContent = "";
  line.textContent = text;
}

let last = 0;
export const unique = (word) => `${word}-${++last}`;

/** Replace what an element holds, unless it is the same text. */
export function fill(element, ...children) {
  if (children.length === 1 && typeof children[0] === "string" && element.textContent === children[0])
    return element;
  element.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

export const reduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
