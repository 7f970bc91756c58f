// A place for a file of the draft: chosen, looked at, on its way to the service, kept through reloads.
import { keep, recall } from "./keep.js";
import { kindOf, look } from "./media.js";
import { peaksOf } from "./peaks.js";
import { Upload } from "./upload.js";

const KEPT = 1024 ** 3; // bytes; of a larger file, only where its upload lies is kept
const sameFile = (a, b) => a && a.name === b.name && a.size === b.size && a.modified === b.lastModified;

export class Slot extends EventTarget {
  /** @param takes kinds of files that belong here; @param name where it is kept. */
  constructor(name, takes) {
    super();
    Object.assign(this, { name, takes });
    this.#empty();
  }

  #empty() {
    Object.assign(this, { file: null, url: null, media: null, waveform: null, upload: null });
    Object.assign(this, { error: null, lost: null, restored: false });
  }

  get ready() {
    return this.upload?.state === "done";
  }

  get reference() {
    return this.upload.reference;
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** Take a file: refuse it with `error`, or look at it and send it. */
  async choose(file, began = null) {
    const error = this.#wrong(file);
    if (error) {
      this.error = error;
      this.#tell();
      return;
    }
    const lost = this.lost;
    this.clear(false);
    if (sameFile(lost, file)) began = lost.url;
    this.file = file;
    this.url = URL.createObjectURL(file);
    this.restored = began !== null;
    this.#send(file, began);
    this.#keep();
    this.#tell();
    await this.#measure(file);
  }

  #wrong(file) {
    if (file.size === 0) return { code: "empty_file" };
    const kind = kindOf(file);
    if (kind === null || this.takes.includes(kind)) return null;
    return { code: this.takes.includes("picture") ? "not_a_video" : "not_a_speech" };
  }

  #send(file, began) {
    const upload = new Upload(file, began);
    this.upload = upload;
    upload.addEventListener("change", () => this.#tell());
    upload.addEventListener("begun", () => this.#keep());
    upload.run();
  }

  async #measure(file) {
    const media = await look(file, this.url);
    if (this.file !== file) return;
    this.media = media;
    this.#tell();
    if (this.takes.includes("sound")) {
      const waveform = await peaksOf(file);
      if (this.file !== file) return;
      this.waveform = waveform;
      if (waveform) this.media = { ...media, duration: waveform.duration };
      this.#tell();
    }
  }

  async #keep() {
    const { file, upload } = this;
    const facts = { name: file.name, size: file.size, modified: file.lastModified, url: upload.url };
    const whole = file.size <= KEPT && (await keep(this.name, { ...facts, file }));
    if (!whole) await keep(this.name, facts);
  }

  /** Take up what was here before a reload. */
  async restore() {
    const kept = await recall(this.name);
    if (!kept || this.file) return;
    if (kept.file) {
      this.choose(kept.file, kept.url ?? null); // what it is, is looked at meanwhile
    } else {
      this.lost = kept;
      this.#tell();
    }
  }

  /** Send the file anew: the service has forgotten it. */
  anew() {
    this.#send(this.file, null);
    this.#tell();
  }

  /** Forget the file. `stop`: an upload that is not done is cancelled, too. */
  clear(told = true) {
    if (this.upload && this.upload.state !== "done") this.upload.cancel();
    if (this.url) URL.revokeObjectURL(this.url);
    this.#empty();
    keep(this.name, null);
    if (told) this.#tell();
  }
}
