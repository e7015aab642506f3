// Run: curves over the gradient flow on one step cursor, the net tinted by its gradient, diagnoses, mistakes, commands.

import * as api from "../api.mjs";
import { Chart, Cursor } from "../charts.mjs";
import { asTable, fill, h, isShare, measure, pixels, shown, table, words } from "../dom.mjs";
import { Flow, histograms, QUANTITIES, scaleOf } from "../flow.mjs";
import { graph } from "../graph.mjs";
import { at, Log } from "../log.mjs";
import { remember } from "../state.mjs";

const ENDS = { budget: "Finished", patience: "Ended early, since it got no better", stopped: "Stopped by a command", interrupted: "Interrupted", diverged: "Diverged: numbers were no longer finite", running: "Running", paused: "Paused" };
const MISTAKES_EVERY = 15000;

export async function open(main, values, online) {
  const run = values.run, log = new Log(run), cursor = new Cursor(), record = await api.record(run);
  let quantity = values.show in QUANTITIES ? values.show : "gradient", acrossLog = values.steps === "log", lossLog = values.loss === "log", following = !values.step;
  if (values.step) cursor.step = Number(values.step);

  const state = h("span", { class: "state" }), heading = h("h1", {}, run);
  const about = h("p", { class: "quiet" }, `${record.summary.net || "?"} on ${record.data.name ?? "?"}, rule ${record.summary.rule || "?"}, ${Number(record.summary.parameters).toLocaleString("en")} parameters`);
  const figures = h("dl", { class: "figures" }), buttons = h("div", { class: "row", role: "group", "aria-label": "Commands to this run" }), said = h("p", { class: "small quiet", role: "status" });
  const diagnoses = h("section", { "aria-label": "Diagnoses", hidden: true });
  const slider = h("input", { class: "along", type: "range", min: 0, max: 1, step: 1, "aria-label": "Step", oninput: () => { following = false; cursor.set(Number(slider.value)); remember({ step: slider.value }); } });
  const live = h("button", { hidden: true, onclick: () => { following = true; remember({ step: null }); redraw(); } }, "Follow the end");
  const loss = new Chart("Loss", { cursor, log: lossLog }), score = new Chart("Validation", { cursor, perCent: true });
  const picks = h("div", { class: "row small" });
  const layerBox = h("div", {}), flow = new Flow({ cursor, onlayer: (name) => openLayer(name) });
  const mistakes = h("section", { hidden: true }), texts = h("section", { hidden: true }), net = h("section", { hidden: true }), notes = h("section", { hidden: true });
  const noLooks = h("p", { class: "hint" }, "No look at the gradient has been recorded yet.");
  main.append(h("div", { class: "row spread" }, h("div", {}, heading, about), state), figures, buttons, said, diagnoses,
    h("section", { "aria-label": "Curves and gradient flow" }, h("div", { class: "row spread" }, picks, live), slider, h("div", {}, loss.figure, score.figure, flow.figure, noLooks, layerBox)),
    net, mistakes, texts, notes, h("section", {}, asTable("Options, data and machine", () => facts(record))));

  const choice = (label, now, options, set) => h("label", {}, label, h("select", { onchange: (e) => set(e.target.value) }, options.map(([value, text]) => h("option", { value, selected: value === now }, text))));
  fill(picks,
    choice("Show", quantity, Object.entries(QUANTITIES).map(([name, { label }]) => [name, label]), (value) => { quantity = value; remember({ show: value }); redraw(); }),
    choice("Steps", acrossLog ? "log" : "even", [["even", "even"], ["log", "logarithmic"]], (value) => { acrossLog = value === "log"; remember({ steps: value === "log" ? "log" : null }); redraw(); }),
    choice("Loss", lossLog ? "log" : "even", [["even", "even"], ["log", "logarithmic"]], (value) => { lossLog = loss.log = value === "log"; loss.lines = []; remember({ loss: value === "log" ? "log" : null }); redraw(); }));

  const tell = async (word, value, text) => {
    try { await api.command(run, word, value); said.textContent = text; } catch (error) { said.textContent = error.message; }
  };
  let factor = 1;
  const rate = (by) => { factor *= by; tell("rate", factor, `Asked for ${shown(factor)} times the rate that it began with; the next chunk obeys.`); };
  const pause = h("button", { onclick: () => log.state === "paused" ? tell("go", 0, "Asked it to go on.") : tell("pause", 0, "Asked it to pause.") }, "Pause");
  const stop = h("button", { onclick: () => tell("stop", 0, "Asked it to stop; it validates, saves and ends.") }, "Stop");
  const slower = h("button", { onclick: () => rate(0.5) }, "Rate ÷ 2"), faster = h("button", { onclick: () => rate(2) }, "Rate × 2");
  buttons.append(pause, stop, slower, faster);

  let netAsked = false, current = false, fresh = false;                // whether all that was there has come, and anything since
  let waiting = 0, tinted = null, layers = null;
  const redraw = () => { if (!waiting) waiting = requestAnimationFrame(() => { waiting = 0; paint(); }); };

  function paint() {
    const end = Math.max(1, log.step), range = [0, end];
    const word = log.state === "running" && record.summary.state === "midway" && !fresh ? "midway" : log.state;
    state.className = `state ${word}`;
    state.textContent = word === "midway" ? "Not at its end; nothing has come for a while" : ENDS[word] ?? word;
    const over = Boolean(log.finished);
    buttons.hidden = over;
    pause.textContent = log.state === "paused" ? "Go on" : "Pause";
    factor = Number(log.commands.findLast((c) => c.command === "rate")?.value ?? 1);
    slider.max = end;
    if (following || cursor.step === null) { slider.value = end; cursor.set(end); }
    live.hidden = following || over;
    const evaluated = log.evaluations, steps = evaluated.map((e) => e.step), many = log.loss.step.length > 400;
    loss.draw([
      { label: "each step", hue: "var(--train)", step: log.loss.step, value: log.loss.value, width: many ? 0.8 : 1.2 },
      { label: "training, mean of an epoch", hue: "train", step: steps, value: evaluated.map((e) => e.train.loss), width: 2.4, dash: [5, 4], points: steps.length < 40 },
      { label: "validation", hue: "valid", step: steps, value: evaluated.map((e) => e.valid.loss ?? NaN), width: 2.4, points: steps.length < 40 },
    ].map(coloured).filter((line) => line.value.some(Number.isFinite)), range, acrossLog);
    const main_measure = log.measures[0];
    score.figure.hidden = !main_measure;
    if (main_measure) {
      score.perCent = isShare(main_measure);
      score.caption.firstChild.textContent = `Validation: ${words(main_measure)}`;
      const line = { label: words(main_measure), hue: "valid", step: steps, value: evaluated.map((e) => e.valid[main_measure] ?? NaN), width: 2.4, points: steps.length < 40 };
      const base = baseline(record, main_measure);
      score.draw([line, ...(base ? [{ label: base.name, hue: "train", step: [0, end], value: [base.value, base.value], dash: [3, 4], width: 1.3 }] : [])].map(coloured), range, acrossLog);
    }
    const scale = scaleOf(log.looks, quantity);
    flow.draw(log.looks, range, acrossLog, quantity, scale);
    for (const box of [loss.box, score.box, slider]) box.classList.toggle("aligned", log.looks.length > 0);
    noLooks.hidden = log.looks.length > 0;
    paintDiagnoses();
    texts.hidden = !log.texts.length;
    if (log.texts.length) fill(texts, h("h2", {}, "What it writes"), h("p", { class: "hint" }, `After step ${log.texts.at(-1).step}`), h("pre", {}, h("code", {}, log.texts.at(-1).texts.join("\n\n"))));
    notes.hidden = !log.notes.length;
    fill(notes, h("h2", {}, "Notes"), [...new Set(log.notes)].map((text) => h("p", { class: "note" }, text)), log.planned ? h("p", { class: "note" }, `Plan ${log.planned.name}: ${log.planned.reason}`) : null);
    atStep();
  }

  function atStep() {
    const step = cursor.step ?? log.step, evaluation = log.evaluation(step), look = log.look(step), rows = [["step", step.toLocaleString("en")]];
    slider.setAttribute("aria-valuetext", `step ${step}`);
    if (String(slider.value) !== String(step)) slider.value = step;
    const value = at(log.loss, step);
    if (value !== null) rows.push(["loss of the step", shown(value)]);
    if (evaluation) for (const name of ["loss", ...log.measures].slice(0, 3)) if (name in evaluation.valid) rows.push([`validation ${words(name)}`, measure(name, evaluation.valid[name])]);
    if (look?.norm !== undefined) rows.push(["norm of the gradient", shown(look.norm)]);
    if (log.progress && !log.finished) rows.push(["steps a second", shown(log.progress.steps_per_second)]);
    fill(figures, rows.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
    if (tinted && look) {
      const scale = scaleOf(log.looks, quantity), row = (name) => look.layers.findIndex((l) => l === name || name.startsWith(`${l}.`) || l.startsWith(`${name}.`));
      tinted((name) => row(name) < 0 ? null : (look[quantity] ?? [])[row(name)], scale, QUANTITIES[quantity].log);
    }
  }

  function paintDiagnoses() {
    const unique = new Map(log.diagnoses.map((d) => [`${d.code} ${d.layer}`, d]));
    const ordered = [...unique.values()].sort((a, b) => Number(b.first ?? false) - Number(a.first ?? false) || (a.step ?? 0) - (b.step ?? 0));
    diagnoses.hidden = !ordered.length;
    const some = ordered.some((d) => d.first);
    const key = JSON.stringify(ordered.map((d) => [d.code, d.layer]));
    if (diagnoses.dataset.key === key) return;
    diagnoses.dataset.key = key;
    fill(diagnoses, h("h2", {}, "Diagnoses"), ordered.map((d, i) => h("div", { class: `diagnosis${some && !d.first ? " follows" : ""}`, role: i === 0 ? "alert" : null },
      h("p", {}, h("strong", {}, `${d.name ?? d.code}${d.layer ? ` in ${d.layer}` : ""}`), h("span", { class: "quiet small" }, ` ${d.code}${d.step !== undefined ? `, step ${d.step}` : ""}${some && !d.first ? ", a consequence" : ""}`)),
      h("p", {}, d.evidence), h("p", {}, "Remedy: ", h("code", {}, d.remedy)))));
  }

  function openLayer(name) {
    layers = name;
    const kinds = ["activation", "gradient", "weight_gradient", "update"].filter((kind) => log.looks.some((look) => look.histograms?.[kind]));
    if (!kinds.length) { fill(layerBox, h("p", { class: "hint" }, `No histograms of ${name} have been recorded.`)); return; }
    fill(layerBox, h("div", { class: "row spread" }, h("h2", {}, `${name}: absolute values through time`), h("button", { onclick: () => { layers = null; fill(layerBox); flow.canvas.focus(); } }, "Close")),
      h("div", { class: "columns" }, kinds.map((kind) => h("figure", {}, h("figcaption", { class: "small" }, words(kind)), histograms(log.looks, name, kind, [0, Math.max(1, log.step)], acrossLog)))));
  }

  let askedMistakes = 0, mistakesOf = -1;
  async function look() {
    if (!log.saved || mistakesOf === log.saved || Date.now() - askedMistakes < (log.finished ? 0 : MISTAKES_EVERY) || !record.data.classes?.length) return;
    askedMistakes = Date.now();
    mistakesOf = log.saved;
    try { showMistakes(await api.ask("mistakes", run)); } catch { mistakes.hidden = true; }
  }

  function showMistakes({ mistakes: worst, wrong, n }) {
    mistakes.hidden = false;
    fill(mistakes, h("h2", {}, "Mistakes"), h("p", { class: "hint" }, worst.length ? `${wrong} of ${n} validation rows are answered wrong by the best weights so far; here are those it is surest of.` : `None of ${n} validation rows is answered wrong by the best weights so far.`),
      h("ul", { class: "gallery" }, worst.map((one) => h("li", {}, h("figure", {}, one.picture ? pixels(one.picture, { label: `Row ${one.row}, a ${one.truth}` }) : null,
        h("figcaption", {}, h("strong", {}, one.truth), ` row ${one.row}`, one.guesses.map((g) => h("div", {}, `${g.name} ${shown(g.probability, true)}`))))))));
  }

  async function loadNet() {
    try {
      const drawn = graph(await api.ask("net", run), (name) => openLayer(name));
      tinted = drawn.tint;
      net.hidden = false;
      fill(net, h("h2", {}, "The net"), drawn.element, h("p", { class: "small" }, h("a", { href: `#chain?${new URLSearchParams({ run })}` }, "The chain rule on it, for one row")));
      atStep();
    } catch { net.hidden = true; }
  }

  cursor.on((step) => { if (step < log.step) following = false; if (!following) live.hidden = Boolean(log.finished); atStep(); });
  const end = api.follow([run], (_, events, anew) => {
    if (anew) log.clear();
    log.apply(events);
    fresh ||= current;
    redraw();
    if (!netAsked && log.saved) { netAsked = true; loadNet(); }
  }, () => { current = true; redraw(); look(); }, online);
  const timer = setInterval(look, 3000);
  const scheme = matchMedia("(prefers-color-scheme: dark)"), again = () => { loss.lines = []; score.lines = []; flow.drawnLegend = ""; redraw(); };
  scheme.addEventListener("change", again);
  return () => { end(); clearInterval(timer); cancelAnimationFrame(waiting); loss.close(); score.close(); flow.close(); scheme.removeEventListener("change", again); };
}

/** A line whose colour is named is drawn in the colour that the name has now. */
function coloured(line) {
  const name = line.hue.replace(/^var\(--|\)$/g, "");
  return { ...line, hue: getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim() || line.hue };
}

function baseline(record, name) {
  const base = record.valid?.baseline, value = base?.[name]?.value;
  return typeof value === "number" ? { name: base.name ?? "constant answer", value } : null;
}

function facts(record) {
  const data = record.data, rows = [...Object.entries(record.options), ["rows", data.n], ["parts", Object.entries(data.splits ?? {}).map(([k, v]) => `${k} ${v}`).join(", ")],
    ["inputs", (data.inputs ?? []).join(" × ")], ["task", data.task], ["torch", record.versions?.torch], ["machine", [record.machine?.system, record.machine?.processor, record.machine?.cores && `${record.machine.cores} cores`].filter(Boolean).join(", ")]];
  return table(["", ""], rows.filter(([, v]) => v !== undefined && v !== null && v !== "").map(([k, v]) => [k, String(v)]), "Options, data and machine");
}
