// The views, and the address that says which one is shown and of what: `#view?key=value`.

import { runs } from "./api.mjs";
import { fill, h } from "./dom.mjs";
import { address } from "./state.mjs";
import * as chain from "./views/chain.mjs";
import * as compare from "./views/compare.mjs";
import * as draw from "./views/draw.mjs";
import * as dream from "./views/dream.mjs";
import * as list from "./views/list.mjs";
import * as neurons from "./views/neurons.mjs";
import * as play from "./views/play.mjs";
import * as run from "./views/run.mjs";

const VIEWS = { runs: ["Runs", list], run: ["Run", run], compare: ["Compare", compare], draw: ["Draw", draw], neurons: ["Neurons", neurons],
  chain: ["Chain rule", chain], play: ["Play", play], dream: ["Dream", dream] };
const OF_RUN = ["run", "draw", "neurons", "dream"];
const main = document.getElementById("main"), line = document.getElementById("line");
let close = null, shownView = "", known = "";

/** Whether the server answers. */
export function online(yes) {
  line.textContent = yes ? "" : "Not connected; trying again";
  line.classList.toggle("lost", !yes);
}

async function show() {
  const { view, values } = address();
  if (location.hash === "#main") { main.focus(); return; }
  if (!(view in VIEWS)) {
    const { first } = await runs().catch(() => ({ first: "" }));
    location.replace(first ? `#run?${new URLSearchParams({ run: first })}` : "#runs");
    return;
  }
  if (values.run) known = values.run;
  const key = `${view} ${values.run ?? values.runs ?? ""}`;
  navigate(view);
  if (key === shownView) return;
  shownView = key;
  close?.();
  close = null;
  const [title, page] = VIEWS[view];
  document.title = `${values.run ? `${values.run} · ` : ""}${title} · chainrule`;
  fill(main);
  try {
    if (OF_RUN.includes(view) && !values.run) { await choose(view, title); return; }
    const opening = h("p", { class: "hint", role: "status" }, "Opening …");
    main.append(opening);
    const ended = await page.open(main, values, online);
    opening.remove();
    if (shownView === key) close = ended; else ended?.();                   // another view was asked for meanwhile
  } catch (error) {
    fill(main, h("h1", {}, title), h("p", { class: "error", role: "alert" }, error.message));
  }
}

function navigate(view) {
  const nav = document.getElementById("views");
  fill(nav, Object.entries(VIEWS).map(([name, [title]]) => h("a", {
    href: OF_RUN.includes(name) && known ? `#${name}?${new URLSearchParams({ run: known })}` : `#${name}`,
    "aria-current": name === view ? "page" : null }, title)));
}

async function choose(view, title) {
  const { runs: all } = await runs();
  fill(main, h("h1", {}, title), h("p", { class: "quiet" }, "Of which run?"),
    h("ul", {}, all.slice(0, 200).map((one) => h("li", {}, h("a", { href: `#${view}?${new URLSearchParams({ run: one.run })}` }, one.run), ` ${one.net} on ${one.data}`))));
}

addEventListener("hashchange", show);
show();
