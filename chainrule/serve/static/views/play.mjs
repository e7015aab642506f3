// Play: a small net on points of the plane, trained by `chainrule train` in a process of its own; every unit is a picture of what it answers.

import * as api from "../api.mjs";
import { Chart, Cursor } from "../charts.mjs";
import { colour, diverging, fill, h, hue, pixels, shown } from "../dom.mjs";
import { prepared } from "../flow.mjs";
import { Log } from "../log.mjs";
import { remember } from "../state.mjs";

const LOOK = 350;             // milliseconds between looks at the net while it trains
const START = { data: "spiral", noise: 0.02, layers: "16x16", activation: "tanh", dropout: 0, rule: "backprop", optimizer: "adam", rate: 0.01, l1: 0, l2: 0, batch: 32, seed: 0, pace: 50 };
const NOISE = { spiral: 0.02, circles: 0.1, xor: 0.05, moons: 0.1 };
const BREAK = [
  ["a rate of 100", { optimizer: "sgd", rate: 100 }], ["weights that begin at zero", { init: "zeros" }],
  ["eight sigmoid layers", { layers: "8x8x8x8x8x8x8x8", activation: "sigmoid", optimizer: "sgd", rate: 0.1, init: "normal:0.01" }], ["one hidden unit", { layers: "1" }],
];

export async function open(main, values, online) {
  const set = { ...START, ...Object.fromEntries(Object.entries(values).filter(([k]) => k in START || k === "init" || k === "target" || k === "columns")) };
  let run = "", log = new Log(""), stopFollowing = null, playing = false, timer = 0, busy = false, shownStep = -1, command = "";
  const cursor = new Cursor(), loss = new Chart("Loss", { cursor, height: 150 }), score = new Chart("Validation accuracy", { cursor, perCent: true, height: 150 });
  const playButton = h("button", { class: "first", onclick: () => toggle() }, "Play"), stepButton = h("button", { onclick: () => once(1) }, "Step"), epochButton = h("button", { onclick: () => once(10) }, "10 steps");
  const reset = h("button", { onclick: () => begin() }, "Reset"), copy = h("button", { onclick: () => copyCommand() }, "Copy as command"), wreck = h("select", { "aria-label": "Break it", onchange: () => breakIt() });
  fill(wreck, h("option", { value: "" }, "Break it …"), BREAK.map(([name], i) => h("option", { value: i }, name)));
  const figures = h("dl", { class: "figures" }), said = h("p", { class: "small quiet", role: "status" }), options = h("div", { class: "options panel" }), picture = h("div", {}), trouble = h("div", {});
  const commandBox = h("pre", { "aria-label": "The command of this run" }, h("code", {}, ""));
  main.append(h("h1", {}, "Play"), h("p", { class: "quiet" }, "A net on points of the plane. What trains is ", h("code", {}, "chainrule train"), " in a process of its own: the command below gives the same weights."),
    h("div", { class: "row", role: "group", "aria-label": "Training" }, playButton, stepButton, epochButton, reset, wreck, copy), said, figures, trouble, h("section", {}, picture), h("section", {}, h("div", { class: "columns" }, loss.figure, score.figure)),
    h("section", {}, h("h2", {}, "Options"), options, commandBox));

  const field = (name, label, kind, more = {}) => {
    const input = Array.isArray(kind) ? h("select", { onchange: () => change(name, input.value) }, kind.map((value) => h("option", { value, selected: String(value) === String(set[name]) }, value)))
      : h("input", { type: kind, value: set[name] ?? "", ...more, onchange: () => change(name, kind === "number" ? Number(input.value) : input.value) });
    input.dataset.option = name;
    return h("label", { class: "above" }, label, input);
  };
  const drawOptions = () => fill(options,
    field("data", "Data: a set or a table", "text", { list: "sets" }), h("datalist", { id: "sets" }, Object.keys(NOISE).map((value) => h("option", { value }))),
    field("noise", "Noise", "number", { min: 0, max: 1, step: 0.01 }), field("layers", "Units of each layer", "text"), field("activation", "Activation", ["tanh", "relu", "sigmoid", "elu"]),
    field("dropout", "Dropout", "number", { min: 0, max: 0.9, step: 0.1 }), field("rule", "Rule", ["backprop"]), field("optimizer", "Optimizer", ["sgd", "momentum", "adam", "adamw", "rmsprop"]), field("rate", "Rate", "number", { min: 0, step: "any" }),
    field("l1", "L1", "number", { min: 0, step: "any" }), field("l2", "L2", "number", { min: 0, step: "any" }), field("batch", "Batch", "number", { min: 1, step: 1 }), field("seed", "Seed", "number", { min: 0, step: 1 }),
    field("init", "Initial weights", "text"), field("columns", "Table: two columns", "text"), field("target", "Table: column to predict", "text"),
    field("pace", "Steps a second (0: all)", "number", { min: 0, step: 10 }));

  async function change(name, value) {
    set[name] = value;
    if (name === "data" && value in NOISE) set.noise = NOISE[value];
    remember({ [name]: value === START[name] ? null : value });
    if (name !== "pace") { drawOptions(); await begin(); }
  }

  function asked() {
    const parts = [`hidden=${set.layers}`, `activation=${set.activation}`];
    if (Number(set.dropout) > 0) parts.push(`dropout=${set.dropout}`);
    const own = set.data in NOISE, penalties = ["l1", "l2"].filter((name) => Number(set[name]) > 0).map((name) => `${name}=${set[name]}`);
    return { data: own ? `${set.data}:noise=${set.noise}` : set.data, net: `mlp:${parts.join(",")}`, rule: penalties.length ? `${set.rule}:${penalties.join(",")}` : set.rule, optimizer: `${set.optimizer}:rate=${set.rate}`,
      batch: Number(set.batch), seed: Number(set.seed), init: set.init || null, columns: own ? null : set.columns || null, target: own ? null : set.target || null };
  }

  async function begin() {
    pausePlay();
    stopFollowing?.();
    said.textContent = "Starting …";
    fill(trouble);
    shownStep = -1;
    try {
      ({ run, command } = await api.play(asked()));
    } catch (error) { said.textContent = error.message; run = ""; return; }
    log = new Log(run);
    commandBox.firstChild.textContent = command;
    stopFollowing = api.follow([run], (_, events, anew) => { if (anew) log.clear(); log.apply(events); draw(); }, () => {}, online);
    look();
  }

  function draw() {
    const steps = log.evaluations.map((e) => e.step), end = Math.max(1, log.step, shownStep);
    loss.draw([{ label: "training", hue: colour("train"), step: steps, value: log.evaluations.map((e) => e.train.loss), width: 1.4, dash: [5, 4] }, { label: "validation", hue: colour("valid"), step: steps, value: log.evaluations.map((e) => e.valid.loss), width: 2.2 }], [0, end]);
    const name = log.measures[0];
    score.figure.hidden = !name;
    if (name) score.draw([{ label: name, hue: colour("valid"), step: steps, value: log.evaluations.map((e) => e.valid[name]), width: 2.2 }], [0, end]);
    const last = log.evaluations.at(-1);
    fill(figures, [["step", (shownStep < 0 ? log.step : Math.max(shownStep, 0)).toLocaleString("en")], ["training loss", shown(last?.train.loss)], ["validation loss", shown(last?.valid.loss)], ...(name ? [[`validation ${name}`, shown(last?.valid[name], true)]] : [])].map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v))));
    const first = log.diagnoses.find((d) => d.first) ?? log.diagnoses[0];
    fill(trouble, first ? h("div", { class: "diagnosis", role: "alert" }, h("p", {}, h("strong", {}, `${first.name ?? first.code}${first.layer ? ` in ${first.layer}` : ""}`)), h("p", {}, first.evidence), h("p", {}, "Remedy: ", h("code", {}, first.remedy))) : null);
    if (log.finished) { pausePlay(); said.textContent = log.finished.reason === "diverged" ? "It has diverged: numbers are no longer finite." : "It has ended."; }
  }

  async function look() {
    if (busy || !run) return;
    busy = true;
    try {
      const now = await api.ask("play", run);
      if (now.step !== shownStep) { shownStep = now.step; show(now); draw(); }
      if (said.textContent === "Starting …") said.textContent = "Ready. Press Play, or Step.";
    } catch (error) {
      if (!/no weights yet/.test(error.message)) said.textContent = error.message;
      else setTimeout(look, LOOK);
    } finally { busy = false; }
  }

  async function once(steps) {
    if (!run) await begin();
    try { await api.command(run, "go", steps); } catch (error) { said.textContent = error.message; return; }
    said.textContent = "";
    const target = Math.max(0, shownStep) + steps, mine = run;
    for (let k = 0; k < 120 && run === mine && shownStep < target && !playing; k++) {
      await new Promise((done) => setTimeout(done, 150));
      await look();
    }
  }

  async function toggle() {
    if (playing) { pausePlay(); await api.command(run, "pause").catch(() => {}); setTimeout(look, 200); return; }
    if (!run || log.finished) await begin();
    playing = true;
    playButton.textContent = "Pause";
    said.textContent = "";
    const pace = Math.max(0, Math.trunc(Number(set.pace)));
    if (!pace) await api.command(run, "go", 0).catch((error) => { said.textContent = error.message; });
    const tick = async () => {
      if (!playing) return;
      if (pace) await api.command(run, "go", Math.max(1, Math.round(pace * LOOK / 1000))).catch((error) => { said.textContent = error.message; pausePlay(); });
      await look();
      if (playing) timer = setTimeout(tick, LOOK);
    };
    tick();
  }

  function pausePlay() { playing = false; clearTimeout(timer); playButton.textContent = "Play"; }

  async function copyCommand() {
    const text = shownStep > 0 ? command.replace(/--epochs=\d+/, `--steps=${shownStep}`) : command;
    commandBox.firstChild.textContent = text;
    try { await navigator.clipboard.writeText(text); said.textContent = "Copied."; } catch { said.textContent = "It stands below."; }
  }

  function breakIt() {
    if (wreck.value === "") return;
    Object.assign(set, BREAK[Number(wreck.value)][1]);
    remember(BREAK[Number(wreck.value)][1]);
    wreck.value = "";
    drawOptions();
    begin().then(() => { said.textContent = "Broken. Press Play and see what it does, and what is said of it."; });
  }

  function show(now) { fill(picture, netPicture(now), now.classes ? h("p", { class: "key" }, now.classes.map((name, i) => h("span", {}, dot(i), name)), h("span", {}, "filled: training, ringed: validation")) : null); }

  drawOptions();
  await begin();
  return () => { pausePlay(); stopFollowing?.(); loss.close(); score.close(); if (run) api.command(run, "pause").catch(() => {}); };
}

const dot = (i) => { const mark = h("span", { class: "swatch", "aria-hidden": "true" }); mark.style.borderTopColor = hue(i); return mark; };

/** Units layer by layer as pictures over the plane, edges between them by their weights, and the answer over the plane at the end. */
function netPicture(now) {
  const wide = 900, cell = 44, columns = now.layers.filter((layer, i, all) => !(i + 1 < all.length && all[i + 1].units === layer.units && !weightOf(now, all[i + 1].name)));
  const most = Math.max(2, ...columns.map((layer) => layer.pictures.length)), tall = most * (cell + 10) + 10;
  const canvas = h("canvas", { role: "img", "aria-label": `The net at step ${now.step}: ${columns.map((layer) => `${layer.name} of ${layer.units} units`).join(", ")}.` });
  canvas.style.width = "100%";
  const paint = () => {
    const width = canvas.clientWidth || wide, small = width < 640, size = Math.max(14, Math.min(cell, small ? 26 : cell)), answer = Math.min(300, width * (small ? 0.42 : 0.32)), height = Math.max(most * (size + 8) + 10, answer + 40);
    const context = prepared(canvas, height), step = (width - answer - size - 20) / Math.max(1, columns.length);
    const x = (k) => 4 + k * step, y = (k, n) => height / 2 + (k - (n - 1) / 2) * (size + 8) - size / 2;
    const inputs = now.names.slice(0, 2);
    const places = [inputs.map((_, i) => [x(0), y(i, 2)]), ...columns.map((layer, k) => layer.pictures.map((_, i) => [x(k + 1), y(i, layer.pictures.length)]))];
    columns.forEach((layer, k) => {
      const weight = weightOf(now, layer.name) ?? weightOf(now, before(now, layer.name));
      if (!weight) return;
      const largest = Math.max(1e-9, ...weight.flat().map(Math.abs));
      weight.forEach((row, to) => row.forEach((value, from) => {
        const a = places[k][from], b = places[k + 1][to];
        if (!a || !b) return;
        context.strokeStyle = `rgb(${diverging(Math.sign(value)).join(",")})`;
        context.globalAlpha = Math.min(1, Math.abs(value) / largest);
        context.lineWidth = 0.4 + 2.2 * Math.abs(value) / largest;
        context.beginPath();
        context.moveTo(a[0] + size, a[1] + size / 2);
        context.bezierCurveTo((a[0] + size + b[0]) / 2, a[1] + size / 2, (a[0] + size + b[0]) / 2, b[1] + size / 2, b[0], b[1] + size / 2);
        context.stroke();
      }));
    });
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = false;
    context.font = "12px system-ui, sans-serif";
    inputs.forEach((name, i) => { context.fillStyle = colour("panel"); context.fillRect(...places[0][i], size, size); context.fillStyle = colour("ink"); context.textAlign = "center"; context.textBaseline = "middle";
      context.fillText(name.slice(0, 6), places[0][i][0] + size / 2, places[0][i][1] + size / 2); });
    columns.forEach((layer, k) => layer.pictures.forEach((one, i) => context.drawImage(pixels(one, { signed: true }), ...places[k + 1][i], size, size)));
    paintAnswer(context, now, width - answer, (height - answer) / 2, answer);
  };
  const watch = new ResizeObserver(() => canvas.isConnected ? paint() : watch.disconnect());
  watch.observe(canvas);
  return h("figure", {}, canvas);
}

const weightOf = (now, name) => now.weights.find((one) => one.name === name)?.weight;
const before = (now, name) => now.layers[now.layers.findIndex((layer) => layer.name === name) - 1]?.name;

function paintAnswer(context, now, left, top, side) {
  const bytes = (one) => Uint8Array.from(atob(one.data), (letter) => letter.charCodeAt(0));
  const image = h("canvas", { width: (now.best ?? now.surface).w, height: (now.best ?? now.surface).h }), inner = image.getContext("2d");
  if (now.best) {
    const best = bytes(now.best), sure = bytes(now.sure), rgb = (k) => [1, 3, 5].map((i) => parseInt(hue(k).slice(i, i + 2), 16)), classes = now.classes.length;
    best.forEach((k, i) => { inner.fillStyle = `rgb(${rgb(k).join(",")})`; inner.globalAlpha = 0.12 + 0.6 * Math.max(0, (sure[i] / 255 - 1 / classes) / (1 - 1 / classes)); inner.fillRect(i % image.width, Math.floor(i / image.width), 1, 1); });
  } else bytes(now.surface).forEach((v, i) => { inner.fillStyle = `rgb(${diverging((v - 128) / 127).join(",")})`; inner.fillRect(i % image.width, Math.floor(i / image.width), 1, 1); });
  context.imageSmoothingEnabled = true;
  context.drawImage(image, left, top, side, side);
  const place = (a, i) => (a - now.low[i]) / (now.high[i] - now.low[i]) * side;
  for (const part of ["train", "valid"]) for (const [a, b, truth] of now[part]) {
    context.beginPath();
    context.arc(left + place(a, 0), top + side - place(b, 1), 2.6, 0, 7);
    context.fillStyle = context.strokeStyle = now.classes ? hue(truth) : colour("ink");
    context.lineWidth = 1.3;
    if (part === "train") { context.fill(); context.strokeStyle = colour("paper"); context.lineWidth = 0.7; }
    context.stroke();
  }
}
