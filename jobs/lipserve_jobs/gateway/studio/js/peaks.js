// The waveform of a speech: the loudest sample of each of so many stretches.

const MOST = 150 * 1024 * 1024; // bytes; what is decoded is several times as much

/** Return {duration, peaks: Float32Array in [0, 1]}; null where this browser cannot decode the file. */
export async function peaksOf(file, count = 1200) {
  if (file.size > MOST) return null;
  const context = new OfflineAudioContext(1, 1, 16000);
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    return null;
  }
  const samples = sound.getChannelData(0);
  const peaks = new Float32Array(count);
  for (let place = 0; place < count; place += 1) {
    const begin = Math.floor((place * samples.length) / count);
    const end = Math.floor(((place + 1) * samples.length) / count);
    let most = 0;
    for (let i = begin; i < end; i += 1) most = Math.max(most, Math.abs(samples[i]));
    peaks[place] = most;
  }
  const loudest = Math.max(...peaks, 1e-4);
  return { duration: sound.duration, peaks: peaks.map((peak) => peak / loudest) };
}

/** Draw peaks over the first `share` of a canvas, in its own colour. */
export function draw(canvas, peaks, share = 1) {
  const scale = devicePixelRatio;
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  if (!peaks) return;
  context.fillStyle = getComputedStyle(canvas).color;
  const step = 3 * scale;
  for (let x = 0; x < Math.min(width, width * share); x += step) {
    const first = Math.floor((x / (width * share)) * peaks.length);
    const last = Math.max(first + 1, Math.floor(((x + step) / (width * share)) * peaks.length));
    const peak = Math.max(...peaks.subarray(first, last));
    const tall = Math.max(scale * 2, peak ** 0.8 * height * 0.94);
    context.beginPath();
    context.roundRect(x, (height - tall) / 2, 2 * scale, tall, scale);
    context.fill();
  }
}
