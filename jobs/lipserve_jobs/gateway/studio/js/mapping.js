// Which moment of a source is seen at a moment of its result: docs/options.md, on_length_mismatch.

/** Return {at, forwards}: seconds of the source, and whether it runs on from there as it is. */
export function sourceTime(time, source, made, mode) {
  if (!(source > 0) || time <= source || made <= source + 0.05) {
    if (mode === "remap" && made > 0 && source > 0) return { at: (time * source) / made, forwards: false };
    return { at: Math.min(time, source || 0), forwards: time < source };
  }
  if (mode === "remap") return { at: (time * source) / made, forwards: false };
  if (mode === "repeat") return { at: time % source, forwards: true };
  if (mode === "freeze" || mode === "cut" || mode === "keep") return { at: source, forwards: false };
  const turn = time % (2 * source);
  return turn < source ? { at: turn, forwards: true } : { at: 2 * source - turn, forwards: false };
}
