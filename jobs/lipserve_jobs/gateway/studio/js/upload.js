// One file on its way to the service: tus 1.0.0, in parts, and on from where it was after a lost connection.
import { Problem, events } from "./api.js";

const PART = 32 * 1024 * 1024;
const LONGEST_PAUSE = 15;
const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

export class Upload extends EventTarget {
  #request = null;
  #certain = true;

  /** @param url where it was begun before; null: it is new. */
  constructor(file, url = null) {
    super();
    Object.assign(this, { file, url, sent: 0, state: "sending", problem: null });
    this.#certain = url === null;
  }

  get total() {
    return this.file.size;
  }

  /** What stands for the file in a job. */
  get reference() {
    return `file:${this.url.split("/").pop()}`;
  }

  #tell(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }

  /** Send until all has come, it is refused, or it is cancelled. */
  async run() {
    for (let pause = 1; this.state !== "cancelled"; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      const before = this.sent;
      try {
        await this.#rest();
        if (this.state !== "cancelled") this.#tell("done");
        return;
      } catch (problem) {
        if (this.state === "cancelled") return;
        if (!(problem instanceof Problem)) throw problem;
        if (!problem.passing && problem.status !== 409 && problem.status !== 401) {
          this.problem = problem;
          this.#tell("failed");
          return;
        }
      }
      if (this.sent > before) pause = 1;
      this.#certain = false;
      this.#tell("waiting");
      await this.#calm(pause);
    }
  }

  /** Look whether the service still has what came, and send it again where it has not. */
  again() {
    this.#certain = false;
    this.#tell("sending");
    this.run();
  }

  async #rest() {
    if (this.url !== null && !this.#certain) await this.#look();
    if (this.url === null) await this.#create();
    this.#certain = true;
    this.#tell("sending");
    while (this.sent < this.total && this.state === "sending") await this.#part();
  }

  async #create() {
    const type = this.file.type || "application/octet-stream";
    const request = await this.#send("POST", "v1/files", {
      "Upload-Length": String(this.total),
      "Upload-Metadata": `filename ${encoded(this.file.name || "recording")},filetype ${encoded(type)}`,
    });
    this.url = `v1/files/${request.getResponseHeader("Location").split("/").pop()}`;
    this.sent = 0;
    this.dispatchEvent(new Event("begun"));
  }

  async #look() {
    try {
      const request = await this.#send("HEAD", this.url);
      this.sent = Number(request.getResponseHeader("Upload-Offset"));
    } catch (problem) {
      if (problem.status !== 404 && problem.status !== 410) throw problem;
      this.url = null;
    }
  }

  async #part() {
    const start = this.sent;
    const headers = { "Upload-Offset": String(start), "Content-Type": "application/offset+octet-stream" };
    const body = this.file.slice(start, start + PART);
    const request = await this.#send("PATCH", this.url, headers, body, (loaded) => {
      this.sent = start + Math.min(loaded, body.size);
      this.#tell(this.state);
    });
    this.sent = Number(request.getResponseHeader("Upload-Offset"));
    this.#tell(this.state);
  }

  #send(method, path, headers = {}, body = null, progress = null) {
    const request = new XMLHttpRequest();
    this.#request = request;
    request.open(method, path);
    request.overrideMimeType("text/plain"); // Firefox takes an empty answer for XML, and says that it is none
    request.setRequestHeader("Tus-Resumable", "1.0.0");
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    if (progress) request.upload.onprogress = (event) => progress(event.loaded);
    return new Promise((resolve, reject) => {
      request.onload = () => (request.status < 300 ? resolve(request) : reject(refused(request)));
      request.onerror = request.onabort = request.ontimeout = () => reject(new Problem({ code: "offline" }));
      request.send(body);
    });
  }

  #calm(seconds) {
    return new Promise((resolve) => {
      const go = () => {
        clearTimeout(timer);
        removeEventListener("online", go);
        resolve();
      };
      const timer = setTimeout(go, seconds * 1000);
      addEventListener("online", go);
    });
  }

  /** Stop, and have the service forget what came. */
  cancel() {
    const began = this.url;
    this.state = "cancelled";
    this.#request?.abort();
    if (began) this.#send("DELETE", began).catch(() => {}); // it is forgotten after a day in any case
  }
}

function refused(request) {
  let told = {};
  try {
    told = JSON.parse(request.responseText);
  } catch {
    // no problem+json: the status says what there is to say
  }
  if (request.status === 401) events.dispatchEvent(new Event("signin"));
  return new Problem({ code: `http_${request.status}`, ...told, status: request.status });
}
