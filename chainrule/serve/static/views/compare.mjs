// Compare: curves of several runs, their gradient flow on one scale, the options that differ, and a paired test with its verdict.

import * as api from "../api.mjs";
import { Chart, Cursor } from "../charts.mjs";
import { asTable, colour, fill, h, hue, isShare, shown, table, words } from "../dom.mjs";
import { Flow, prepared, QUANTITIES, scaleOf } from "../flow.mjs";
import { Log } from "../log.mjs";
import { remember } from "../state.mjs";

const MOST = 24;

export async function open(main, values, online) {
  const names = (values.runs ?? "").split("\n").filter(Boolean).slice(0, MOST);
  if (names.length < 2) {
    fill(main, h("h1", {}, "Compare"), h("p", { class: "quiet" }, "Choose two runs or more in the ", h("a", { href: "#runs" }, "list of runs"), "."));
    return null;
  }
  const records = await Promise.all(names.map(api.record)), logs = names.map((name) => new Log(name)), cursor = new Cursor();
  const differing = differences(records), groups = seeds(records, differing);
  let quantity = values.show in QUANTITIES ? values.show : "gradient", acrossLog = values.steps === "log";

  const loss = new Chart("Validation loss", { cursor }), score = new Chart("Validation", { cursor }), flows = names.map((name) => new Flow({ cursor, title: name }));
  const verdict = h("section", {}), picks = h("div", { class: "row small" }), parallel = h("section", {}), flowBox = h("div", { class: "columns" }, flows.map((flow) => flow.figure));
  const keys = h("p", { class: "key" }, names.map((name, i) => h("span", {}, mark(i), h("a", { href: `#run?${new URLSearchParams({ run: name })}` }, name))));
  const noLooks = h("p", { class: "hint" }, "None of these runs has recorded a look at its gradient.");
  main.append(h("h1", {}, "Compare"), keys, verdict,
    h("section", {}, h("h2", {}, "Options that differ"), differing.length ? table(["run", ...differing], records.map((r, i) => [names[i], ...differing.map((key) => String(r.options[key] ?? "–"))]), "Options that differ")
      : h("p", { class: "hint" }, "None: these runs were asked for with the same options.")),
    parallel, h("section", {}, picks, h("div", {}, score.figure, loss.figure)),
    h("section", {}, h("h2", {}, "Gradient flow, on one scale"), noLooks, flowBox));
  const choice = (label, now, options, set) => h("label", {}, label, h("select", { onchange: (e) => set(e.target.value) }, options.map(([value, text]) => h("option", { value, selected: value === now }, text))));
  fill(picks, choice("Show", quantity, Object.entries(QUANTITIES).map(([name, { label }]) => [name, label]), (value) => { quantity = value; remember({ show: value }); redraw(); }),
    choice("Steps", acrossLog ? "log" : "even", [["even", "even"], ["log", "logarithmic"]], (value) => { acrossLog = value === "log"; remember({ steps: value === "log" ? "log" : null }); redraw(); }));

  let waiting = 0;
  const redraw = () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; paint(); }); };
  function paint() {
    const end = Math.max(1, ...logs.map((log) => log.step)), range = [0, end], name = logs.map((log) => log.measures[0]).find(Boolean);
    const of = (pick) => groups.flatMap((group, i) => lines(group.map((k) => logs[k]), group.map((k) => names[k]), i, group[0], pick));
    loss.draw(of((e) => e.valid.loss ?? e.train.loss), range, acrossLog);
    score.figure.hidden = !name;
    if (name) { score.perCent = isShare(name); score.caption.firstChild.textContent = `Validation: ${words(name)}`; score.draw(of((e) => e.valid[name] ?? NaN), range, acrossLog); }
    const scale = scaleOf(logs.flatMap((log) => log.looks), quantity);
    flows.forEach((flow, i) => flow.draw(logs[i].looks, range, acrossLog, quantity, scale));
    noLooks.hidden = logs.some((log) => log.looks.length);
    if (cursor.step === null) cursor.set(end);
  }

  async function test() {
    try {
      const result = await api.compare(names);
      const score_of = (value) => result.measure === "errors" ? `${shown(value)} errors` : `${words(result.measure)} ${shown(value)}`;
      fill(verdict, h("h2", {}, "Verdict"), result.pairs.slice(0, 6).map((pair) => h("p", {}, pair.verdict)),
        h("p", { class: "hint" }, `${result.n.toLocaleString("en")} cases. ${result.note}`),
        asTable("Scores and pairs", () => h("div", { class: "wide" }, table(["run", "score"], names.map((name, i) => [name, score_of(result.scores[i])]), "Scores"),
          table(["pair", "difference", "interval", "p", "p corrected"], result.pairs.map((p) => [`${p.a} – ${p.b}`, p.difference.value, `${shown(p.difference.low)} to ${shown(p.difference.high)}`, shown(p.p), shown(p.p_corrected)]), "Pairs"))));
    } catch (error) { fill(verdict, h("h2", {}, "Verdict"), h("p", { class: "note" }, error.message)); }
  }

  const end = api.follow(names, (i, events, anew) => { if (anew) logs[i].clear(); logs[i].apply(events); redraw(); }, redraw, online);
  test();
  if (names.length >= 3 && differing.length) { parallel.append(h("h2", {}, "Options and outcome")); parallel.append(coordinates(names, records, differing)); }
  const scheme = matchMedia("(prefers-color-scheme: dark)"), again = () => { loss.lines = []; score.lines = []; flows.forEach((flow) => { flow.drawnLegend = ""; }); redraw(); };
  scheme.addEventListener("change", again);
  return () => { end(); cancelAnimationFrame(waiting); loss.close(); score.close(); flows.forEach((flow) => flow.close()); scheme.removeEventListener("change", again); };
}

function mark(i) {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.borderTopColor = hue(i);
  return swatch;
}

/** The options in which the runs are not all alike. */
export function differences(records) {
  const keys = [...new Set(records.flatMap((record) => Object.keys(record.options)))];
  return keys.filter((key) => new Set(records.map((record) => JSON.stringify(record.options[key] ?? null))).size > 1);
}

/** Runs that differ in nothing but their seed, together: lists of places. */
export function seeds(records, differing) {
  const groups = new Map(), others = differing.filter((key) => key !== "seed");
  records.forEach((record, i) => {
    const key = JSON.stringify([record.data.name, ...others.map((name) => record.options[name] ?? null)]);
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  return [...groups.values()];
}

/** The curve of a run; of several seeds their mean within the band from the least to the greatest. */
function lines(several, names, number, first, pick) {
  const curves = several.map((log) => log.evaluations.map((e) => [e.step, pick(e)]).filter(([, v]) => Number.isFinite(v)));
  const stroke = hue(several.length > 1 ? number : first);
  if (several.length === 1) return [{ label: names[0], hue: stroke, step: curves[0].map((p) => p[0]), value: curves[0].map((p) => p[1]), width: 2.2, points: curves[0].length < 40 }];
  const maps = curves.map((curve) => new Map(curve)), steps = [...new Set(curves.flat().map((p) => p[0]))].filter((s) => maps.every((m) => m.has(s))).sort((a, b) => a - b);
  const all = steps.map((s) => maps.map((m) => m.get(s)));
  const edge = { hue: `${stroke}55`, step: steps, width: 1, hidden: true };
  return [{ ...edge, label: `${names[0]} least`, value: all.map((v) => Math.min(...v)) }, { ...edge, label: `${names[0]} greatest`, value: all.map((v) => Math.max(...v)), band: `${stroke}22` },
    { label: `${names[0]} and ${several.length - 1} more seeds, mean`, hue: stroke, step: steps, value: all.map((v) => v.reduce((a, b) => a + b, 0) / v.length), width: 2.2 }];
}

/** Parallel coordinates: an axis for each option that differs and one for the outcome, a line for each run. */
function coordinates(names, records, differing) {
  const outcome = records.flatMap((r) => Object.keys(r.summary.measures)).find((m) => m !== "loss") ?? "loss";
  const axes = [...differing.slice(0, 7).map((key) => ({ title: key, values: records.map((r) => numberOf(r.options[key])) })),
    { title: words(outcome), values: records.map((r) => Number(r.summary.measures[outcome])), perCent: isShare(outcome) }];
  const canvas = h("canvas", { role: "img", "aria-label": `A line for each of ${names.length} runs over the options that differ and ${words(outcome)}; the same as a table above.` });
  canvas.style.width = "100%";
  const paint = () => {
    const tall = 240, context = prepared(canvas, tall), width = canvas.clientWidth, x = (i) => 60 + (width - 120) * i / (axes.length - 1);
    context.font = "12px system-ui, sans-serif";
    axes.forEach((axis) => {
      if (axis.values.every((v) => typeof v === "number" && Number.isFinite(v))) { axis.low = Math.min(...axis.values); axis.high = Math.max(...axis.values);
        axis.place = (v) => axis.high > axis.low ? (v - axis.low) / (axis.high - axis.low) : 0.5; axis.marks = [axis.low, axis.high].map((v) => [axis.place(v), axis.perCent ? shown(v, true) : shown(v)]); }
      else { const kinds = [...new Set(axis.values.map(String))]; axis.place = (v) => kinds.length > 1 ? kinds.indexOf(String(v)) / (kinds.length - 1) : 0.5; axis.marks = kinds.map((kind, i) => [kinds.length > 1 ? i / (kinds.length - 1) : 0.5, kind.slice(0, 24)]); }
    });
    const y = (place) => tall - 34 - place * (tall - 60);
    names.forEach((_, run) => {
      context.strokeStyle = hue(run);
      context.lineWidth = 2;
      context.beginPath();
      axes.forEach((axis, i) => context[i ? "lineTo" : "moveTo"](x(i), y(axis.place(axis.values[run]))));
      context.stroke();
    });
    context.fillStyle = colour("quiet");
    axes.forEach((axis, i) => {
      context.fillRect(x(i) - 0.5, y(1), 1, y(0) - y(1));
      context.textAlign = i === 0 ? "left" : i === axes.length - 1 ? "right" : "center";
      context.fillText(axis.title, i === 0 ? 8 : i === axes.length - 1 ? width - 8 : x(i), tall - 8);
      for (const [place, text] of axis.marks) context.fillText(text, i === 0 ? 8 : i === axes.length - 1 ? width - 8 : x(i), y(place) + (place > 0.9 ? -6 : place < 0.1 ? 14 : 4));
    });
  };
  new ResizeObserver(paint).observe(canvas);
  return h("figure", {}, canvas, asTable("Table", () => table(["run", ...axes.map((a) => a.title)], names.map((name, i) => [name, ...axes.map((a) => typeof a.values[i] === "number" ? shown(a.values[i], a.perCent) : String(a.values[i]))]), "Options and outcome")));
}

const numberOf = (value) => value === null || value === undefined || value === "" ? "–" : typeof value === "number" ? value : Number.isFinite(Number(value)) ? Number(value) : String(value);
