// Where the mouth is: where source and result differ.

const SMALL = 96; // pixels across, in which source and result are compared
const SEEN = 24; // levels of 255: a smaller difference is the encoder's
const FEWEST = 6; // places that differ, or it is no mouth
const UPPER = 0.35; // of the places that differ, from above: there the lips are

/** Return the width and height of a video or a picture; 0, 0: it is not there yet. */
export const sizeOf = (picture) => [
  picture.videoWidth ?? picture.naturalWidth,
  picture.videoHeight ?? picture.naturalHeight,
];

/** Return where source and result differ most, so where the mouth is: x, y in 0 to 1; null: nowhere. */
export function mouthOf({ source, made }) {
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
