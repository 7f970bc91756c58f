// The job that is being put together: files, who speaks, cues, settings. It is kept through reloads.
import { preference } from "./keep.js";
import { Slot } from "./slot.js";

const SPEECH = ["sound", "video"];
const FRESH = { tier: "lipwarp", face: "largest", options: {}, name: "", cues: [] };

/** Tells of a `change` of its fields, and of one of its `files`. */
class Draft extends EventTarget {
  video = new Slot("video", ["video", "picture"]);
  speech = new Slot("speech", SPEECH);
  people = null; // what a job of kind `faces` has found
  looking = null; // the id of that job, while it works
  sent = null; // the id of the job that was made of it last
  problem = null; // why the last try was refused, and `about` what
  wanted = false; // to be sent as soon as everything has come
  offered = null; // the tiers that the service has; null: it does not say, and may have all

  constructor() {
    super();
    let kept = {};
    try {
      kept = JSON.parse(preference("draft")) ?? {};
    } catch {
      // it was not ours
    }
    Object.assign(this, structuredClone(FRESH), kept);
    for (const cue of this.cues) cue.slot = this.#cueSlot(cue.id);
    this.#heard(this.video).addEventListener("change", () => this.#follow());
    this.#heard(this.speech);
  }

  #cueSlot(id) {
    return this.#heard(new Slot(`cue-${id}`, SPEECH));
  }

  #heard(slot) {
    slot.addEventListener("change", () => this.dispatchEvent(new Event("files")));
    return slot;
  }

  #follow() {
    if (!this.video.file && !this.video.lost && this.people)
      this.set({ people: null, face: "largest", cues: [] });
  }

  /** Change fields, keep them, and tell. */
  set(fields) {
    Object.assign(this, fields);
    const { tier, face, options, name, cues, people, looking, sent } = this;
    const bare = cues.map(({ slot, ...cue }) => cue);
    preference("draft", JSON.stringify({ tier, face, options, name, cues: bare, people, looking, sent }));
    this.dispatchEvent(new Event("change"));
  }

  option(name, value) {
    const options = { ...this.options };
    if (value === null) delete options[name];
    else options[name] = value;
    this.set({ options });
  }

  /** The slots of all files that the job needs. */
  get slots() {
    const speech = this.needsSpeech || this.speech.file ? [this.speech] : [];
    return [this.video, ...speech, ...this.cues.filter((cue) => cue.own).map((cue) => cue.slot)];
  }

  get needsSpeech() {
    return !this.cues.length || this.cues.some((cue) => !cue.own);
  }

  /** Whether the result lasts as long as the video: cues, and people whom the service looks for, settle that. */
  get settled() {
    return this.cues.length > 0 || /^(speaking|\d+)$/.test(this.face);
  }

  get chosen() {
    return this.slots.every((slot) => slot.file);
  }

  get ready() {
    return this.slots.every((slot) => slot.ready);
  }

  /** Seconds that the timeline shows: of the video, or of the speech where there is a picture. */
  get duration() {
    return this.video.media?.duration || this.speech.media?.duration || 0;
  }

  addCue(fields) {
    const id = Math.max(0, ...this.cues.map((cue) => cue.id)) + 1;
    const cue = { id, face: this.face, own: false, offset: null, ...fields, slot: this.#cueSlot(id) };
    this.set({ cues: [...this.cues, cue] });
    return cue;
  }

  change(cue, fields) {
    Object.assign(cue, fields);
    this.set({ cues: this.cues });
  }

  dropCue(cue) {
    cue.slot.clear();
    this.set({ cues: this.cues.filter((each) => each !== cue) });
  }

  async restore() {
    await Promise.all(
      [this.video, this.speech, ...this.cues.map((cue) => cue.slot)].map((slot) => slot.restore()),
    );
  }

  /** Take in which tiers the service has, and tell `offered`. */
  offer(tiers) {
    this.offered = tiers;
    this.dispatchEvent(new Event("offered"));
  }

  /** Begin with nothing. */
  clear() {
    for (const slot of [this.video, this.speech, ...this.cues.map((cue) => cue.slot)]) slot.clear();
    this.set({
      ...structuredClone(FRESH),
      people: null,
      looking: null,
      sent: null,
      problem: null,
      wanted: false,
    });
  }

  /** Return the request of a job of a kind. */
  request(kind = "dub") {
    const video = this.video.reference;
    if (kind === "faces") return { kind, video };
    const speech = this.speech.ready ? { speech: this.speech.reference } : {};
    const {
      face,
      loudness,
      background_lufs: level,
      background,
      priority,
      ...rest
    } = {
      ...this.options,
      ...(this.face === "largest" ? {} : { face: this.face }),
    };
    const more = {
      ...(loudness === undefined ? {} : { loudness }),
      ...(background ? { background: "video" } : {}),
      ...(background && level !== undefined ? { background_lufs: level } : {}),
    };
    const shared = { kind, video, ...speech, tier: this.tier };
    if (kind === "estimate") return { ...shared, options: rest };
    const options = { ...rest, ...(face && !this.cues.length ? { face } : {}) };
    if (this.settled) delete options.on_length_mismatch;
    const metadata = options.on_length_mismatch ? { on_length_mismatch: options.on_length_mismatch } : {};
    const cues = this.cues.length ? { cues: this.cues.map(cueOf) } : {};
    const name = this.name || this.video.file.name || "";
    const order = priority ? { priority } : {};
    return { ...shared, ...more, ...cues, ...order, options, metadata, name: name.slice(0, 200) };
  }
}

function cueOf({ start, end, face, offset, own, slot }) {
  return {
    start,
    end,
    face,
    ...(own ? { speech: slot.reference } : {}),
    ...(offset === null ? {} : { offset }),
  };
}

export const draft = new Draft();
