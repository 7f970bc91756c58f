// All jobs: a list that follows them as they change, filtered, retried, erased.
import { call, job as path } from "./api.js";
import { announce, fill, h, icon, styled } from "./dom.js";
import { FINAL } from "./follow.js";
import { ago, date, lasting, percent } from "./format.js";
import { erase, nameOf } from "./job.js";
import { notice } from "./notice.js";
import { t } from "./text.js";

const PAGE = 20;
const FILTERS = {
  all: "",
  running: "queued,preparing,making,joining",
  done: "done",
  failed: "failed,cancelled",
};

/** Return the list of jobs; it lasts until `signal` ends it. */
export function history(signal) {
  const jobs = new Map();
  const list = h("ul.jobs");
  const more = h("button.second", { type: "button", hidden: true }, t("history.more"));
  const trouble = h("div");
  let filter = "all";
  let kind = "dub";
  let following = null;

  const show = () => {
    const shown = [...jobs.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
    const held = document.activeElement?.dataset?.key;
    fill(list, ...shown.map((view) => row(view, act)));
    if (held) list.querySelector(`[data-key="${held}"]`)?.focus();
    if (!shown.length)
      fill(
        list,
        h(
          "li.nothing",
          {},
          icon("film"),
          h("p", {}, t(`history.none.${filter}`)),
          h("a.button.primary", { href: "#/" }, t("history.first")),
        ),
      );
    more.hidden = following === null;
  };
  const load = async (anew) => {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (FILTERS[filter]) query.set("state", FILTERS[filter]);
    if (kind) query.set("kind", kind);
    if (!anew && following) query.set("after", following);
    try {
      const page = await call(`v1/jobs?${query}`, { signal });
      if (anew) jobs.clear();
      for (const view of page.jobs) jobs.set(view.id, view);
      following = page.next;
      fill(trouble);
      show();
    } catch (problem) {
      if (problem.name !== "AbortError")
        fill(
          trouble,
          notice(
            problem,
            h("button.second", { type: "button", onclick: () => load(anew) }, t("action.again")),
          ),
        );
    }
  };
  const act = async (view, what) => {
    try {
      if (what === "erase") {
        if (await erase(view)) jobs.delete(view.id);
      } else {
        jobs.set(
          view.id,
          await call(path(view.id, what === "retry" ? "retry" : ""), {
            method: what === "retry" ? "POST" : "DELETE",
          }),
        );
        announce(t(`state.${jobs.get(view.id).state}`));
      }
      show();
    } catch (problem) {
      fill(trouble, notice(problem));
    }
  };
  const fits = (view) =>
    (!kind || view.kind === kind) && (!FILTERS[filter] || FILTERS[filter].split(",").includes(view.state));
  live(signal, load, (view, id) => {
    if (view && fits(view)) jobs.set(id, view);
    else if (!jobs.delete(id)) return;
    show();
  });
  more.addEventListener("click", () => load(false));
  const filters = chips("filter", Object.keys(FILTERS), filter, (chosen) => {
    filter = chosen;
    load(true);
  });
  const every = h("input", { type: "checkbox", id: "every-kind" });
  every.addEventListener("change", () => {
    kind = every.checked ? "" : "dub";
    load(true);
  });
  load(true);
  return h(
    "div.history",
    {},
    h("h1", { tabindex: "-1" }, t("history.title")),
    h(
      "div.filters",
      {},
      filters,
      h("label.check.small", { for: "every-kind" }, every, h("span", {}, t("history.every"))),
    ),
    trouble,
    list,
    h("div.actions.center", {}, more),
  );
}

function chips(name, values, chosen, choose) {
  const made = values.map((value) => {
    const input = h("input", { type: "radio", name, value, checked: value === chosen });
    input.addEventListener("change", () => choose(value));
    return h("label.segment", {}, input, h("span", {}, t(`history.filter.${value}`)));
  });
  return h("div.segments", { role: "radiogroup", "aria-label": t("history.filter.title") }, ...made);
}

/** Hear of all changes; after a lost stream the list is loaded anew. */
function live(signal, load, hear) {
  let source = null;
  let timer = 0;
  const open = () => {
    source = new EventSource("v1/events");
    source.addEventListener("job", (event) => {
      const view = JSON.parse(event.data);
      hear(view, view.id);
    });
    source.addEventListener("erased", (event) => hear(null, event.data));
    source.onerror = () => {
      source.close();
      timer = setTimeout(() => {
        load(true);
        open();
      }, 3000);
    };
  };
  open();
  signal.addEventListener("abort", () => {
    source.close();
    clearTimeout(timer);
  });
}

function row(view, act) {
  const { state, progress } = view;
  const running = !FINAL.includes(state);
  const share = progress.frames ? progress.frames_done / progress.frames : 0;
  const words = [
    t(`kind.${view.kind}`),
    t(`tier.${view.tier}.name`),
    view.seconds ? lasting(view.seconds) : null,
  ]
    .filter(Boolean)
    .join(" · ");
  const name = nameOf(view);
  return h(
    "li.job-row",
    { "data-state": state },
    h(
      "div.job-words",
      {},
      h("a.job-name", { href: `#/jobs/${view.id}`, "data-key": `open-${view.id}` }, name),
      h(
        "p.muted.small",
        {},
        words,
        " · ",
        h("time", { datetime: view.created, title: date(view.created) }, ago(view.created)),
      ),
      view.error && h("p.small.why", {}, view.error.message),
      running && styled(h("span.mini", { "aria-hidden": "true" }), { "--share": `${100 * share}%` }),
    ),
    h(
      "span.badge",
      { "data-state": state },
      running && share
        ? t("history.share", { state: t(`state.${state}`), share: percent(share) })
        : t(`state.${state}`),
    ),
    h(
      "div.row-actions",
      {},
      running && tool(view, "cancel", "remove", act, name),
      ["failed", "cancelled"].includes(state) && tool(view, "retry", "again", act, name),
      !running && tool(view, "erase", "erase", act, name),
    ),
  );
}

function tool(view, what, picture, act, name) {
  const text = t(`history.${what}`, { name });
  return h(
    "button.icon-button",
    {
      type: "button",
      title: text,
      "aria-label": text,
      "data-key": `${what}-${view.id}`,
      onclick: () => act(view, what),
    },
    icon(picture),
  );
}
