// Calls of the service, and its errors.

/** An error that the service told (RFC 9457), or that kept it from answering: code `offline`. */
export class Problem extends Error {
  constructor({ code, status = 0, detail = "", remedy = "" }) {
    super(detail || code);
    Object.assign(this, { code, status, detail, remedy });
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Hears `signin` when the service asks who is there. */
export const events = new EventTarget();

export async function problemOf(answer) {
  let told = {};
  try {
    told = JSON.parse(await answer.text());
  } catch {
    // a proxy's page: the status says what there is to say
  }
  if (answer.status === 401) events.dispatchEvent(new Event("signin"));
  return new Problem({ code: `http_${answer.status}`, ...told, status: answer.status });
}

/** Return the answer of a call; a Problem where it is refused or does not come. */
export async function ask(path, { method = "GET", json, headers = {}, signal } = {}) {
  const more = json === undefined ? {} : { "Content-Type": "application/json" };
  const body = json === undefined ? undefined : JSON.stringify(json);
  let answer;
  try {
    answer = await fetch(path, { method, body, headers: { ...more, ...headers }, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "offline" });
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

export async function call(path, options) {
  const answer = await ask(path, options);
  return answer.status === 204 ? null : answer.json();
}

export const job = (id, part = "") => `v1/jobs/${encodeURIComponent(id)}${part && `/${part}`}`;

/** Return a key under which the same job is made once, however often it is sent. */
export function key() {
  const digits = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(digits, (digit) => digit.toString(16).padStart(2, "0")).join("");
}
