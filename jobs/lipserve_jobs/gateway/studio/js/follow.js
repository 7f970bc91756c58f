// A job as it changes: server-sent events, and asking every two seconds where they do not come.
import { call, job as path } from "./api.js";

const EVERY = 2000;
export const FINAL = ["done", "failed", "cancelled"];
const over = (view) => FINAL.includes(view.state);

/**
 * Tell `hear` of every change of a job until it has ended, and `linked` whether the service is reached.
 * `hear` gets null where the job is erased.
 */
export function follow(id, { hear, linked = () => {}, signal }) {
  let source = null;
  let timer = 0;
  let ended = false;

  const stop = () => {
    ended = true;
    source?.close();
    clearTimeout(timer);
  };

  const take = (view) => {
    if (ended) return;
    linked(true);
    if (view === null || over(view)) stop();
    hear(view);
  };

  const poll = async () => {
    try {
      take(await call(path(id), { signal }));
      if (!ended) listen();
    } catch (problem) {
      if (ended || problem.name === "AbortError") return;
      if (problem.status === 404) return take(null);
      linked(false);
      timer = setTimeout(poll, EVERY);
    }
  };

  const listen = () => {
    source?.close();
    source = new EventSource(path(id, "events"));
    source.addEventListener("job", (event) => take(JSON.parse(event.data)));
    source.addEventListener("erased", () => take(null));
    source.onerror = () => {
      // A browser tries again by itself, but not for ever, and not everybody is let have a stream: it is asked for.
      source.close();
      clearTimeout(timer);
      timer = setTimeout(poll, EVERY / 2);
    };
  };

  // Whether the service is reached, only asking tells: it may be on this machine, and an event may be on its way.
  const wake = () => {
    clearTimeout(timer);
    if (!ended) poll();
  };
  addEventListener("online", wake, { signal });
  addEventListener("offline", wake, { signal });
  signal.addEventListener("abort", stop);
  poll();
}

/** Return a job when it has ended; `hear` is told of changes before. */
export function ended(id, { signal, hear = () => {} }) {
  return new Promise((resolve) => {
    follow(id, { signal, hear: (view) => (view === null || over(view) ? resolve(view) : hear(view)) });
  });
}
