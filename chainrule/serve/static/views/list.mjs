// Runs: all there are, the latest first; those that are chosen are compared.

import { runs } from "../api.mjs";
import { fill, h, measure, words } from "../dom.mjs";

const STATES = { budget: "finished", patience: "finished early", stopped: "stopped", interrupted: "interrupted", diverged: "diverged", midway: "midway", running: "running" };
const REFRESH = 3000;

export async function open(main, values, online) {
  const chosen = new Set(), body = h("tbody", {}), filter = h("input", { type: "text", placeholder: "net, data or name", "aria-label": "Only runs whose line has these words" });
  const compareThem = h("button", { class: "first", disabled: true, onclick: () => { location.hash = `compare?${new URLSearchParams({ runs: [...chosen].join("\n") })}`; } }, "Compare");
  const title = h("h1", {}, "Runs"), empty = h("div", { class: "empty", hidden: true }, h("p", {}, "There are no runs in this folder yet."),
    h("p", { class: "quiet" }, "Train one, and it appears here while it runs: ", h("code", {}, "chainrule train digits")));
  const whole = h("div", { class: "wide" }, h("table", { class: "runs" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, h("span", { class: "quiet" }, "Compare")),
    ["run", "state", "net", "data", "best on validation", "steps"].map((head, i) => h("th", { scope: "col", class: i === 2 || i === 5 ? "less" : null }, head)))), body));
  main.append(title, h("div", { class: "row spread" }, filter, compareThem), whole, empty);
  let all = [];

  const draw = () => {
    const wanted = filter.value.toLowerCase();
    const shown = all.filter((one) => `${one.run} ${one.net} ${one.data} ${one.state}`.toLowerCase().includes(wanted));
    fill(body, shown.map((one) => {
      const name = Object.keys(one.measures).find((m) => m !== "loss") ?? Object.keys(one.measures)[0];
      return h("tr", {},
        h("td", {}, h("input", { type: "checkbox", checked: chosen.has(one.run), "aria-label": `Compare ${one.run}`, onchange: (e) => {
          if (e.target.checked) chosen.add(one.run); else chosen.delete(one.run);
          compareThem.disabled = chosen.size < 2; } })),
        h("th", { scope: "row" }, h("a", { href: `#run?${new URLSearchParams({ run: one.run })}` }, one.run)),
        h("td", {}, h("span", { class: `state ${one.state}` }, STATES[one.state] ?? one.state)),
        h("td", { class: "less" }, one.net), h("td", {}, one.data),
        h("td", {}, name ? `${measure(name, Number(one.measures[name]))} ${words(name)}` : "–"), h("td", { class: "number less" }, Number(one.step).toLocaleString("en")));
    }));
    empty.hidden = all.length > 0;
    whole.hidden = all.length === 0;
  };
  filter.addEventListener("input", draw);
  const load = async () => {
    try { ({ runs: all } = await runs()); online(true); } catch (error) { online(false); if (!all.length) throw error; return; }
    if (!body.contains(document.activeElement)) draw();
  };
  await load();
  const timer = setInterval(() => load().catch(() => {}), REFRESH);
  return () => clearInterval(timer);
}
