// A loupe on the mouth: the same place of source and result, side by side, as large as one likes.
import { fill, h, icon, styled, unique } from "./dom.js";
import { number } from "./format.js";
import { t } from "./text.js";

const STEP = 0.01;
const COARSE = 0.05;
const SMALL = 96; // pixels across, in which source and result are compared
const SEEN = 24; // levels of 255: a smaller difference is the encoder's
const FEWEST = 6; // places that differ, or it is no mouth
const UPPER = 0.35; // of the places that differ, from above: there the lips are
const within = (value, least, most) => Math.min(Math.max(value, least), most);
const sizeOf = (picture) => [
  picture.videoWidth ?? picture.naturalWidth,
  picture.videoHeight ?? picture.naturalHeight,
];

/** Return the loupe of a pair of pictures {made, source}: its part of the page, markers, and what draws it. */
export function loupe(pair, signal) {
  const glass = { x: 0.5, y: 0.45, times: 4 };
  const canvases = {
    source: h("canvas", { width: 480, height: 300, role: "img" }),
    made: h("canvas", { width: 480, height: 300, role: "img" }),
  };
  const markers = [];
  let shown = false;
  let led = false; // somebody has moved it
  let frame = 0;

  const still = () => {
    const mouth = shown && !led && pair.made.paused ? changed(pair) : null;
    if (mouth) move(...mouth);
    else draw();
  };
  const draw = () => {
    if (!shown) return;
    for (const name of ["source", "made"]) drawn(canvases[name], pair[name], glass);
  };
  const run = () => {
    draw();
    frame = shown && !pair.made.paused ? requestAnimationFrame(run) : 0;
  };
  const place = (x, y) => {
    led = true;
    move(x, y);
  };
  const move = (x, y) => {
    Object.assign(glass, { x: within(x, 0, 1), y: within(y, 0, 1) });
    for (const marker of markers) {
      styled(marker, {
        "--x": `${100 * glass.x}%`,
        "--y": `${100 * glass.y}%`,
        "--share": `${100 / glass.times}%`,
      });
    }
    draw();
  };
  pair.made.addEventListener("play", () => (frame ||= requestAnimationFrame(run)), { signal });
  for (const event of ["seeked", "loadeddata", "pause"]) pair.made.addEventListener(event, still, { signal });
  signal.addEventListener("abort", () => cancelAnimationFrame(frame));

  const marker = (name) => {
    const button = h("button.marker", {
      type: "button",
      hidden: true,
      "aria-label": t(`loupe.marker.${name}`),
      "aria-describedby": help.id,
    });
    button.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? COARSE : STEP;
      const moves = {
        ArrowLeft: [-step, 0],
        ArrowRight: [step, 0],
        ArrowUp: [0, -step],
        ArrowDown: [0, step],
      };
      const sizes = { "+": 0.5, "=": 0.5, "-": -0.5 };
      if (event.key in moves) place(glass.x + moves[event.key][0], glass.y + moves[event.key][1]);
      else if (event.key in sizes) resize(glass.times + sizes[event.key]);
      else return;
      event.preventDefault();
    });
    button.addEventListener("pointerdown", (event) => event.preventDefault());
    markers.push(button);
    // The pointer leads the loupe wherever it is over the picture: the marker's parent, once it has one.
    queueMicrotask(() => {
      button.parentElement?.addEventListener("pointermove", (event) => {
        if (!shown) return;
        const { left, top, width, height } = button.parentElement.getBoundingClientRect();
        place((event.clientX - left) / width, (event.clientY - top) / height);
      });
    });
    return button;
  };
  const help = h("p.muted.small", { id: unique("loupe") }, t("loupe.help"));
  const times = h("output");
  const range = h("input", {
    type: "range",
    min: "2",
    max: "10",
    step: "0.5",
    "aria-label": t("loupe.times"),
  });
  const resize = (value) => {
    glass.times = within(value, 2, 10);
    range.value = String(glass.times);
    fill(times, `${number(glass.times, 1)}×`);
    move(glass.x, glass.y);
  };
  range.addEventListener("input", () => resize(Number(range.value)));
  const view = h(
    "div.loupe-view",
    { hidden: true },
    h(
      "div.glasses",
      {},
      glassOf(t("result.source"), canvases.source),
      glassOf(t("result.made"), canvases.made),
    ),
    h("div.loupe-tools", {}, range, times, help),
  );
  const toggle = h(
    "button.second",
    { type: "button", "aria-expanded": "false" },
    icon("loupe"),
    t("loupe.title"),
  );
  toggle.addEventListener("click", () => {
    shown = !shown;
    view.hidden = !shown;
    toggle.setAttribute("aria-expanded", String(shown));
    for (const each of markers) each.hidden = !shown;
    resize(glass.times);
    still();
    if (shown && !pair.made.paused) frame ||= requestAnimationFrame(run);
  });
  return { element: h("div.loupe", {}, toggle, view), marker, still };
}

function glassOf(title, canvas) {
  canvas.setAttribute("aria-label", t("loupe.picture", { name: title }));
  return h("figure", {}, canvas, h("figcaption.small.muted", {}, title));
}

/** Return where source and result differ most, so where the mouth is: x, y in 0 to 1; null: nowhere. */
function changed({ source, made }) {
  if (!source || made.seeking || source.seeking || !sizeOf(source)[0]) return null;
  const [one, other] = [source, made].map((picture) => {
    const context = new OffscreenCanvas(SMALL, SMALL).getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0, SMALL, SMALL);
    return context.getImageData(0, 0, SMALL, SMALL).data;
  });
  const places = [];
  for (let place = 0; place < SMALL * SMALL; place += 1) {
    if (Math.abs(one[4 * place + 1] - other[4 * place + 1]) >= SEEN) places.push(place);
  }
  if (places.length < FEWEST) return null;
  const across = places.reduce((sum, place) => sum + (place % SMALL), 0) / places.length;
  const down = Math.floor(places[Math.floor(places.length * UPPER)] / SMALL); // the chin below moves, too
  return [(across + 0.5) / SMALL, (down + 0.5) / SMALL];
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
