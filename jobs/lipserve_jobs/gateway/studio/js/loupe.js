// A loupe on the mouth: the same place of source and result, side by side, as large as one likes.
import { fill, h, icon, styled, unique } from "./dom.js";
import { number } from "./format.js";
import { mouthOf, sizeOf } from "./mouth.js";
import { t } from "./text.js";

const STEP = 0.01; // of the picture
const COARSE = 0.05;
const TIMES = [2, 10];
const within = (value, least, most) => Math.min(Math.max(value, least), most);

/** The loupe of a pair of pictures {made, source}. */
export class Loupe {
  #pair;
  #glass = { x: 0.5, y: 0.45, times: 4 };
  #canvases = { source: canvas(), made: canvas() };
  #markers = [];
  #shown = false;
  #led = false; // somebody has moved it
  #frame = 0;
  #help = h("p.muted.small", { id: unique("loupe") }, t("loupe.help"));
  #times = h("output");
  #range = h("input", {
    type: "range",
    min: String(TIMES[0]),
    max: String(TIMES[1]),
    step: "0.5",
    "aria-label": t("loupe.times"),
  });

  constructor(pair, signal) {
    this.#pair = pair;
    const { made } = pair;
    made.addEventListener("play", () => this.#play(), { signal });
    for (const event of ["seeked", "loadeddata", "pause"]) {
      made.addEventListener(event, () => this.still(), { signal });
    }
    signal.addEventListener("abort", () => cancelAnimationFrame(this.#frame));
    this.#range.addEventListener("input", () => this.#enlarge(Number(this.#range.value)));
    this.element = this.#view();
  }

  /** Draw pictures that stand; where nobody has led the loupe yet, it goes to the mouth. */
  still() {
    const mouth = this.#shown && !this.#led && this.#pair.made.paused ? mouthOf(this.#pair) : null;
    if (mouth) this.#move(...mouth);
    else this.#draw();
  }

  #draw() {
    if (!this.#shown) return;
    for (const name of ["source", "made"]) drawn(this.#canvases[name], this.#pair[name], this.#glass);
  }

  #play() {
    if (this.#frame || !this.#shown) return;
    const run = () => {
      this.#draw();
      this.#frame = this.#shown && !this.#pair.made.paused ? requestAnimationFrame(run) : 0;
    };
    this.#frame = requestAnimationFrame(run);
  }

  #lead(x, y) {
    this.#led = true;
    this.#move(x, y);
  }

  #move(x, y) {
    Object.assign(this.#glass, { x: within(x, 0, 1), y: within(y, 0, 1) });
    const place = {
      "--x": `${100 * this.#glass.x}%`,
      "--y": `${100 * this.#glass.y}%`,
      "--share": `${100 / this.#glass.times}%`,
    };
    for (const marker of this.#markers) styled(marker, place);
    this.#draw();
  }

  #enlarge(times) {
    this.#glass.times = within(times, ...TIMES);
    this.#range.value = String(this.#glass.times);
    fill(this.#times, `${number(this.#glass.times, 1)}×`);
    this.#move(this.#glass.x, this.#glass.y);
  }

  /** Return the frame that shows on the picture `name` what is enlarged; the pointer over `picture` leads it. */
  marker(name, picture) {
    const marker = h("button.marker", {
      type: "button",
      hidden: true,
      "aria-label": t(`loupe.marker.${name}`),
      "aria-describedby": this.#help.id,
    });
    marker.addEventListener("keydown", (event) => this.#keyed(event));
    marker.addEventListener("pointerdown", (event) => event.preventDefault());
    picture.addEventListener("pointermove", (event) => {
      if (!this.#shown) return;
      const { left, top, width, height } = picture.getBoundingClientRect();
      this.#lead((event.clientX - left) / width, (event.clientY - top) / height);
    });
    this.#markers.push(marker);
    return marker;
  }

  #keyed(event) {
    const step = event.shiftKey ? COARSE : STEP;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const sizes = { "+": 0.5, "=": 0.5, "-": -0.5 };
    const { x, y, times } = this.#glass;
    if (event.key in moves) this.#lead(x + moves[event.key][0], y + moves[event.key][1]);
    else if (event.key in sizes) this.#enlarge(times + sizes[event.key]);
    else return;
    event.preventDefault();
  }

  #view() {
    const source = glassOf(t("result.source"), this.#canvases.source);
    const made = glassOf(t("result.made"), this.#canvases.made);
    const tools = h("div.loupe-tools", {}, this.#range, this.#times, this.#help);
    const view = h("div.loupe-view", { hidden: true }, h("div.glasses", {}, source, made), tools);
    const toggle = h(
      "button.second",
      { type: "button", "aria-expanded": "false" },
      icon("loupe"),
      t("loupe.title"),
    );
    toggle.addEventListener("click", () => {
      this.#shown = !this.#shown;
      view.hidden = !this.#shown;
      toggle.setAttribute("aria-expanded", String(this.#shown));
      for (const marker of this.#markers) marker.hidden = !this.#shown;
      this.#enlarge(this.#glass.times);
      this.still();
      if (!this.#pair.made.paused) this.#play();
    });
    return h("div.loupe", {}, toggle, view);
  }
}

const canvas = () => h("canvas", { width: 480, height: 300, role: "img" });

function glassOf(title, canvas) {
  canvas.setAttribute("aria-label", t("loupe.picture", { name: title }));
  return h("figure", {}, canvas, h("figcaption.small.muted", {}, title));
}

function drawn(canvas, picture, { x, y, times }) {
  if (!picture) return;
  const [width, height] = sizeOf(picture);
  if (!width) return;
  const wide = width / times;
  const high = (wide * canvas.height) / canvas.width;
  const left = within(x * width - wide / 2, 0, Math.max(0, width - wide));
  const top = within(y * height - high / 2, 0, Math.max(0, height - high));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, left, top, wide, high, 0, 0, canvas.width, canvas.height);
}
