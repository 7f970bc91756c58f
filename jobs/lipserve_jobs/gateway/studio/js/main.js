// The page: which view is shown, and who is there.
import { call, events } from "./api.js";
import { compose } from "./compose.js";
import { fill, h } from "./dom.js";
import { draft } from "./draft.js";
import { history } from "./history.js";
import { jobView } from "./job.js";
import { notice } from "./notice.js";
import { signin } from "./signin.js";
import { load, t } from "./text.js";
import { top } from "./top.js";

const SOON = 3000; // milliseconds
const main = document.getElementById("main");
let known = null;
let leaving = null;
let asked = false;
let begun = false;

/** Return the view that the address names: its name, and what makes it. */
function wanted() {
  const [, place, id] = location.hash.split("/");
  if (place === "jobs" && /^[0-9a-f]{32}$/.test(id ?? "")) return ["job", (signal) => jobView(id, signal)];
  if (place === "jobs") return ["jobs", history];
  return ["new", compose];
}

function show(moved) {
  leaving?.abort();
  leaving = new AbortController();
  const [name, make] = wanted();
  document.title = `${t(`nav.${name}`)} · LipServe Studio`;
  top(name, known);
  fill(main, make(leaving.signal));
  main.dataset.view = name;
  if (moved) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
}

/** Ask for a key, and go on where one was. */
function ask() {
  if (asked) return;
  asked = true;
  leaving?.abort();
  top("signin", null);
  main.dataset.view = "signin";
  document.title = `${t("signin.title")} · LipServe Studio`;
  fill(main, signin(begin));
  document.getElementById("api-key").focus();
}

async function begin() {
  asked = false;
  try {
    known = await call("v1/me");
  } catch (problem) {
    if (problem.status === 401) return;
    top("new", null);
    fill(
      main,
      h(
        "div.trouble",
        {},
        notice(problem, h("button.second", { type: "button", onclick: begin }, t("action.again"))),
      ),
    );
    return;
  }
  learn();
  await draft.restore();
  begun = true;
  show(false);
}

/** Take in which tiers there are; while no worker has told, ask again. */
async function learn() {
  draft.offer(known.tiers);
  while (known.tiers === null && !asked) {
    await new Promise((resolve) => setTimeout(resolve, SOON));
    try {
      known = await call("v1/me");
    } catch {
      continue; // it is away, or asks who is there
    }
    if (known.tiers !== null) draft.offer(known.tiers);
  }
}

events.addEventListener("signin", ask);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  main.focus();
});
for (const event of ["dragover", "drop"]) {
  addEventListener(event, (moved) => moved.preventDefault()); // a file beside its place does not replace the page
}
addEventListener("hashchange", () => begun && !asked && show(true));
addEventListener("languagechosen", async () => {
  await load();
  if (begun && !asked) show(false);
});

await load();
await begin();
