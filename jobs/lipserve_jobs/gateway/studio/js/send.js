// The last step: a name, an estimate, and off it goes.
import { call, job as path, key } from "./api.js";
import { fine } from "./cues.js";
import { announce, fill, h, unique } from "./dom.js";
import { draft } from "./draft.js";
import { ended } from "./follow.js";
import { bytes, lasting, number, percent } from "./format.js";
import { about, notice } from "./notice.js";
import { t } from "./text.js";

/** Return the parts of the page that send the job: the last stays in sight. */
export function send(signal) {
  const name = naming();
  const state = h("p.muted.small.send-state", { role: "status" });
  const button = h("button.primary.wide.send", { type: "button" });
  const wrong = h("div");
  const price = estimate(signal);
  const show = () => {
    const { chosen, ready, wanted } = draft;
    button.disabled = !chosen || !fine();
    button.toggleAttribute("aria-busy", wanted);
    fill(button, t(wanted ? (ready ? "send.sending" : "send.waiting") : "send.make"));
    fill(state, ready || !chosen ? "" : t("send.uploading", { share: percent(share()) }));
    fill(wrong, draft.problem && about(draft.problem) === "send" ? notice(draft.problem) : null);
    if (wanted && ready) go();
  };
  let going = false;
  let again = false; // the files were sent again: once
  const go = async () => {
    if (going) return;
    going = true;
    try {
      const view = await sent();
      draft.set({ wanted: false, problem: null, sent: view.id });
      location.hash = `#/jobs/${view.id}`;
    } catch (problem) {
      going = false;
      if (problem.code === "invalid_input" && !again) {
        again = true; // a file that the service has forgotten: with a job that was erased, or after a day
        for (const slot of draft.slots) slot.upload.again();
        return;
      }
      draft.set({ wanted: false, problem: { ...facts(problem), about: about(problem) } });
      announce(problem.message, true);
    }
  };
  button.addEventListener("click", () => draft.set({ wanted: !draft.wanted, problem: null }));
  draft.addEventListener("change", show, { signal });
  draft.addEventListener("files", show, { signal });
  signal.addEventListener("abort", () => (draft.wanted = false));
  show();
  return [
    h("section.send-part", { "aria-label": t("send.title") }, name, price),
    h("div.send-bar", {}, wrong, button, state),
  ];
}

const facts = ({ code, message, detail, remedy }) => ({ code, detail: detail || message, remedy });

/** Send the job, under one key however often it takes: a lost answer makes no second job. */
async function sent() {
  const headers = { "Idempotency-Key": key() };
  const json = draft.request();
  for (let pause = 1; ; pause = Math.min(pause * 2, 15)) {
    try {
      return await call("v1/jobs", { method: "POST", json, headers });
    } catch (problem) {
      if (problem.code !== "offline") throw problem;
      announce(t("send.again"));
      await new Promise((resolve) => setTimeout(resolve, pause * 1000));
    }
  }
}

function share() {
  const uploads = draft.slots.map((slot) => slot.upload).filter(Boolean);
  const total = uploads.reduce((sum, upload) => sum + upload.total, 0);
  return total ? uploads.reduce((sum, upload) => sum + upload.sent, 0) / total : 0;
}

function naming() {
  const id = unique("name");
  const input = h("input", {
    id,
    type: "text",
    maxlength: "200",
    value: draft.name,
    placeholder: draft.video.file?.name ?? "",
    autocomplete: "off",
  });
  input.addEventListener("input", () => draft.set({ name: input.value }));
  return h("div.field", {}, h("label", { for: id }, t("send.name")), input);
}

function estimate(signal) {
  const place = h("div.estimate");
  const button = h("button.second.wide", { type: "button" }, t("estimate.ask"));
  const told = h("div", { role: "status" });
  const show = () =>
    (button.disabled = !draft.ready || !draft.speech.ready || button.hasAttribute("aria-busy"));
  button.addEventListener("click", async () => {
    button.setAttribute("aria-busy", "true");
    show();
    fill(told, h("p.muted.small", {}, t("estimate.measuring")));
    try {
      let view = await call("v1/jobs", { method: "POST", json: draft.request("estimate"), signal });
      view = await ended(view.id, { signal });
      fill(
        told,
        view?.state === "done"
          ? answer(await call(path(view.id, "result"), { signal }))
          : notice(view?.error ?? { code: "cancelled" }),
      );
    } catch (problem) {
      if (problem.name !== "AbortError") fill(told, notice(problem));
    }
    button.removeAttribute("aria-busy");
    show();
  });
  draft.addEventListener("change", show, { signal });
  draft.addEventListener("files", show, { signal });
  show();
  place.append(button, told);
  return place;
}

function answer(found) {
  const rows = [
    [
      t("estimate.time"),
      t("estimate.between", {
        wait: lasting(found.wait_seconds),
        least: lasting(found.least_seconds),
        most: lasting(found.most_seconds),
      }),
    ],
    [
      t("estimate.result"),
      t("estimate.size", {
        seconds: lasting(found.seconds),
        width: String(found.width),
        height: String(found.height),
      }),
    ],
    [t("estimate.memory"), bytes(found.memory_mib * 1024 ** 2)],
  ];
  if (found.cost !== null) rows.push([t("estimate.cost"), number(found.cost, 4)]);
  return h("dl.facts", {}, ...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}
