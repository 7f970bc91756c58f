// The view of one job: on its way, with its result, or with what went wrong.
import { ask, call, job as path } from "./api.js";
import { confirmed } from "./dialog.js";
import { announce, fill, h, icon } from "./dom.js";
import { draft } from "./draft.js";
import { FINAL, follow } from "./follow.js";
import { ago, bytes, date, lasting, number } from "./format.js";
import { about, notice } from "./notice.js";
import { progress } from "./progress.js";
import { result } from "./result.js";
import { t } from "./text.js";

export const nameOf = (view) => view.name || t("job.unnamed", { id: view.id.slice(-6) });

/** Return the view of a job; it lasts until `signal` ends it. */
export function jobView(id, signal) {
  const head = h("div.job-head");
  const body = h("div.job-body");
  const link = h("p.lost", { role: "status", hidden: true }, icon("warning"), t("job.lost"));
  let last = null;
  let moving = null;
  let followed = null;

  const hear = (view) => {
    if (view === null) return gone();
    if (view.state !== last) changed(view);
    last = view.state;
    moving?.(view);
  };
  const changed = (view) => {
    document.title = `${nameOf(view)} · LipServe Studio`;
    moving = null;
    fill(
      head,
      title(view),
      h(
        "p.muted",
        {},
        t(`kind.${view.kind}`),
        " · ",
        h("time", { datetime: view.created, title: date(view.created) }, ago(view.created)),
      ),
    );
    if (last !== null || !FINAL.includes(view.state)) announce(t(`state.${view.state}`));
    if (view.state === "done") fill(body, ...done(view, signal));
    else if (FINAL.includes(view.state)) fill(body, ...over(view, again));
    else {
      const shown = progress(view, () => act(view, "DELETE"));
      moving = shown.show;
      fill(body, shown.element);
    }
  };
  const act = async (view, method, part = "") => {
    try {
      hear(await call(path(view.id, part), { method }));
    } catch (problem) {
      body.prepend(notice(problem));
    }
  };
  const again = async (view) => {
    await act(view, "POST", "retry");
    start();
  };
  const gone = () => {
    const text = t(last === null ? "job.gone.text" : "job.gone.erased");
    last = "gone";
    document.title = `${t("job.gone.title")} · LipServe Studio`;
    announce(`${t("job.gone.title")} ${text}`);
    fill(head, h("h1", {}, t("job.gone.title")));
    fill(body, h("p.muted", {}, text), h("a.button.second", { href: "#/jobs" }, t("nav.jobs")));
  };
  const start = () => {
    followed?.abort();
    followed = new AbortController();
    follow(id, { hear, linked: (fine) => (link.hidden = fine), signal: followed.signal });
  };
  signal.addEventListener("abort", () => followed?.abort());
  start();
  return h("div.job", {}, head, link, body);
}

function title(view) {
  return h(
    "div.job-title",
    {},
    h("h1", { tabindex: "-1" }, nameOf(view)),
    h("span.badge", { "data-state": view.state }, t(`state.${view.state}`)),
  );
}

/** Failed or cancelled: why, and what can be done about it. */
function over(view, again) {
  const mended = view.error !== null && about(view.error) !== "send"; // by the caller: the same again would fail again
  const retry = h(
    mended ? "button.second" : "button.primary",
    { type: "button", onclick: () => again(view) },
    icon("again"),
    t("action.retry"),
  );
  const back = h(mended ? "a.button.primary" : "a.button.second", { href: "#/" }, t("job.back"));
  if (view.state === "failed" && draft.sent === view.id)
    draft.problem = { ...view.error, about: about(view.error) };
  const told = view.error ?? { code: "cancelled" };
  return [
    notice({ ...told, detail: told.message }, ...(mended ? [back, retry] : [retry, back])),
    facts(view),
    erasing(view),
  ];
}

function done(view, signal) {
  if (view.kind !== "dub") {
    return [
      h(
        "p",
        {},
        h(
          "a.button.second",
          { href: path(view.id, "result"), download: `${view.id}.json` },
          icon("download"),
          t("job.json"),
        ),
      ),
      facts(view),
      erasing(view),
    ];
  }
  return [result(view, signal), facts(view), erasing(view)];
}

function facts(view) {
  const rows = [
    [t("job.tier"), t(`tier.${view.tier}.name`)],
    view.seconds ? [t("job.length"), lasting(view.seconds)] : null,
    view.size ? [t("job.size"), bytes(view.size)] : null,
    view.work_seconds ? [t("job.work"), lasting(view.work_seconds)] : null,
    view.cost === null ? null : [t("job.cost"), number(view.cost, 4)],
    view.started && view.ended
      ? [t("job.took"), lasting((new Date(view.ended) - new Date(view.started)) / 1000)]
      : null,
    view.expires ? [t("job.expires"), date(view.expires)] : null,
    [t("job.id"), h("code", {}, view.id)],
  ];
  return h(
    "section.facts-part",
    { "aria-labelledby": "facts-title" },
    h("h2", { id: "facts-title" }, t("job.facts")),
    h(
      "dl.facts",
      {},
      ...rows.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
    ),
  );
}

function erasing(view) {
  const button = h("button.quiet.erase", { type: "button" }, icon("erase"), t("action.erase"));
  button.addEventListener("click", async () => {
    try {
      if (await erase(view)) location.hash = "#/jobs";
    } catch (problem) {
      place.before(notice(problem));
    }
  });
  const place = h("div.actions.end", {}, button);
  return place;
}

/** Erase a job and all its traces, after a question; return whether it is gone. */
export async function erase(view) {
  if (!(await confirmed(t("erase.title"), t("erase.text", { name: nameOf(view) }), t("action.erase"))))
    return false;
  await ask(`${path(view.id)}?erase=true`, { method: "DELETE" });
  announce(t("erase.done"));
  return true;
}
