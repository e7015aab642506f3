// The gradient-flow picture: layers, the output on top, over steps; colour is the logarithm of a size, on one scale for all that is shown.

import { asTable, colour, h, fill, shown, table } from "./dom.mjs";
import { LEFT, RIGHT } from "./charts.mjs";

export const LOW = -9, HIGH = 3;          // of the scale, powers of ten; extended where the data exceed it
// cividis: Nuñez, Anderton & Renslow (2018), https://doi.org/10.1371/journal.pone.0199239, at nine places
const CIVIDIS = ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#fee838"].map((hex) =>
  [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
export const QUANTITIES = {
  gradient: { label: "gradient", words: "root mean square of the derivative by what the layer gives", log: true },
  weight_gradient: { label: "gradient of the weights", words: "root mean square of the derivative by the layer's weights", log: true },
  update: { label: "update by weight", words: "size of a step's change by that of the weights", log: true },
  activation_sd: { label: "spread of activations", words: "standard deviation of what the layer gives", log: true },
  dead: { label: "dead units", words: "share of units at zero on all rows looked at", log: false },
};
const ROW = 22, BOTTOM = 22;

/** The colour of a share of the scale. */
export function cividis(share) {
  const x = Math.min(1, Math.max(0, share)) * (CIVIDIS.length - 1), i = Math.min(CIVIDIS.length - 2, Math.floor(x));
  return CIVIDIS[i].map((v, k) => Math.round(v + (CIVIDIS[i + 1][k] - v) * (x - i)));
}

/** One scale over the looks of any number of runs: [low, high] in powers of ten, or shares. */
export function scaleOf(looks, quantity) {
  if (!QUANTITIES[quantity].log) return [0, 1];
  let low = LOW, high = HIGH;
  for (const look of looks) for (const value of look[quantity] ?? []) {
    if (!(value > 0) || !Number.isFinite(value)) continue;
    low = Math.min(low, Math.floor(Math.log10(value)));
    high = Math.max(high, Math.ceil(Math.log10(value)));
  }
  return [Math.max(low, -45), Math.min(high, 38)];
}

/** The place of a value on a scale, in [0, 1]; null where there is none. */
export function placeOf(value, [low, high], log) {
  if (value === null || value === undefined || Number.isNaN(value)) return null;
  if (!log) return value;
  return value <= 0 ? 0 : value === Infinity ? 1 : (Math.log10(value) - low) / (high - low);
}

export class Flow {
  constructor({ cursor, onlayer = null, title = "Gradient flow" } = {}) {
    Object.assign(this, { cursor, onlayer, quantity: "gradient", looks: [], layers: [], scale: [LOW, HIGH], row: 0, range: [0, 1], acrossLog: false });
    this.canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": title, onpointermove: (e) => this.hover(e), onclick: (e) => { this.hover(e); this.open(); },
      onkeydown: (e) => this.key(e) });
    this.profile = h("canvas", { role: "img", "aria-label": "This instant" });
    this.sentence = h("p", { class: "small" });
    this.reading = h("p", { class: "hint", "aria-live": "polite" }, "Point at a cell, or press the arrow keys, to read a value; click or Enter opens the layer's histograms.");
    this.legend = h("span", { class: "scale" });
    this.figure = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, title), this.legend), h("div", { class: "flow" }, this.canvas, this.profile),
      this.sentence, this.reading, asTable("Table", () => this.table()));
    this.watch = new ResizeObserver(() => this.paint());
    this.watch.observe(this.figure);
    this.off = cursor.on(() => this.paint());
  }

  draw(looks, range, acrossLog, quantity, scale) {
    const last = looks.at(-1);
    Object.assign(this, { looks, range, acrossLog, quantity, scale, layers: last ? [...last.layers].reverse() : [] });
    this.kinds = last?.kinds ? [...last.kinds].reverse() : [];
    this.row = Math.min(this.row, Math.max(0, this.layers.length - 1));
    this.paint();
  }

  /** Values of a look in the order of the rows, the output first. */
  values(look) { return [...(look?.[this.quantity] ?? [])].reverse(); }

  current() {
    const step = this.cursor.step ?? this.range[1];
    let best = null;
    for (const look of this.looks) if (look.step <= step) best = look; else break;
    return best ?? this.looks[0] ?? null;
  }

  x(step) {
    const width = this.inner ?? 1, [low, high] = this.range;
    if (!this.acrossLog) return LEFT + width * (step - low) / Math.max(1, high - low);
    const from = Math.log(Math.max(1, low)), to = Math.log(Math.max(2, high));
    return LEFT + width * (Math.log(Math.max(1, step)) - from) / (to - from);
  }

  stepAt(x) {
    const share = Math.min(1, Math.max(0, (x - LEFT) / this.inner)), [low, high] = this.range;
    if (!this.acrossLog) return Math.round(low + share * (high - low));
    const from = Math.log(Math.max(1, low)), to = Math.log(Math.max(2, high));
    return Math.round(Math.exp(from + share * (to - from)));
  }

  paint() {
    if (!this.layers.length) { this.figure.hidden = true; return; }
    this.figure.hidden = false;
    const { log } = QUANTITIES[this.quantity], rows = this.layers.length, tall = Math.max(5, Math.min(ROW, Math.floor(420 / rows)));
    const context = prepared(this.canvas, rows * tall + BOTTOM);
    const width = this.canvas.clientWidth;
    this.inner = width - LEFT - RIGHT;
    this.tall = tall;
    const quiet = colour("quiet"), panel = colour("panel");
    context.font = "11.5px system-ui, sans-serif";
    const steps = this.looks.map((look) => look.step);
    this.looks.forEach((look, i) => {
      const from = i ? this.x(edge(steps[i - 1], steps[i], this.acrossLog)) : LEFT;
      const end = LEFT + this.inner, to = i + 1 < steps.length ? this.x(edge(steps[i], steps[i + 1], this.acrossLog)) : Math.min(end, this.x(look.step) + Math.max(4, this.x(look.step) - from));
      this.values(look).forEach((value, row) => {
        const place = placeOf(value, this.scale, log);
        context.fillStyle = place === null ? panel : Number.isNaN(place) ? "#a8420f" : `rgb(${cividis(place).join(",")})`;
        context.fillRect(from, row * tall, Math.max(1, to - from + 0.5), tall - (tall > 8 ? 1 : 0));
        if (i + 1 === steps.length && end - to > 1) {                       // since the last look nobody knows
          context.globalAlpha = 0.22;
          context.fillRect(to, row * tall, end - to, tall - (tall > 8 ? 1 : 0));
          context.globalAlpha = 1;
        }
      });
    });
    context.fillStyle = quiet;
    context.textAlign = "right";
    context.textBaseline = "middle";
    const every = Math.ceil(14 / tall);
    this.layers.forEach((name, row) => { if (row % every === 0) context.fillText(clipped(context, name, LEFT - 10), LEFT - 6, row * tall + tall / 2); });
    context.textAlign = "center";
    for (const tick of ticks(this.range, this.acrossLog)) context.fillText(brief(tick), this.x(tick), rows * tall + BOTTOM / 2 + 2);
    const now = this.current();
    if (now) {
      const x = this.x(this.cursor.step ?? now.step);
      context.fillStyle = colour("ink");
      context.fillRect(x - 0.75, 0, 1.5, rows * tall);
    }
    if (document.activeElement === this.canvas) {
      context.strokeStyle = colour("focus");
      context.lineWidth = 2;
      context.strokeRect(LEFT, this.row * tall, this.inner, tall);
    }
    this.paintProfile(now, tall);
    this.paintLegend();
    this.say(now);
  }

  paintProfile(now, tall) {
    const { log } = QUANTITIES[this.quantity], rows = this.layers.length;
    const context = prepared(this.profile, rows * tall + BOTTOM), width = this.profile.clientWidth - 12;
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "center";
    context.textBaseline = "middle";
    const [low, high] = this.scale, marks = log ? [low, Math.round((low + high) / 2), high] : [0, 0.5, 1];
    for (const mark of marks) {
      const x = 6 + width * (mark - low) / (high - low);
      context.fillStyle = colour("line");
      context.fillRect(x - 0.5, 0, 1, rows * tall);
      context.fillStyle = colour("quiet");
      context.fillText(log ? `1e${mark}` : `${100 * mark} %`, Math.min(width - 4, Math.max(18, x)), rows * tall + BOTTOM / 2 + 2);
    }
    context.strokeStyle = colour("valid");
    context.lineWidth = 2;
    context.beginPath();
    let open = false;
    this.values(now).forEach((value, row) => {
      const place = placeOf(value, this.scale, log);
      if (place === null) { open = false; return; }
      const x = 6 + width * Math.min(1, Math.max(0, place)), y = row * tall + tall / 2;
      if (open) context.lineTo(x, y); else context.moveTo(x, y);
      open = true;
    });
    context.stroke();
    this.values(now).forEach((value, row) => {
      const place = placeOf(value, this.scale, log);
      if (place === null) return;
      context.fillStyle = colour("valid");
      context.beginPath();
      context.arc(6 + width * Math.min(1, Math.max(0, place)), row * tall + tall / 2, Math.min(3, tall / 2), 0, 7);
      context.fill();
    });
    this.profile.setAttribute("aria-label", `At step ${now?.step ?? 0}, output first: ${this.layers.map((name, i) => `${name} ${shown(this.values(now)[i])}`).join(", ")}`);
  }

  paintLegend() {
    const key = `${this.quantity} ${this.scale}`;
    if (this.drawnLegend === key) return;
    this.drawnLegend = key;
    const { log, label } = QUANTITIES[this.quantity], bar = h("canvas", { width: 144, height: 1, "aria-hidden": "true" });
    const context = bar.getContext("2d");
    for (let i = 0; i < 144; i++) { context.fillStyle = `rgb(${cividis(i / 143).join(",")})`; context.fillRect(i, 0, 1, 1); }
    fill(this.legend, label, h("span", {}, log ? `1e${this.scale[0]}` : "0 %"), bar, h("span", {}, log ? `1e${this.scale[1]}` : "100 %"));
  }

  say(now) {
    if (!now) return;
    const late = now === this.looks.at(-1) && (this.cursor.step ?? 0) > now.step * 1.25 + 10;
    const text = sentenceOf(now, this.quantity) + (late ? " Nothing has been looked at since; the paler cells repeat it." : "");
    if (text !== this.sentence.textContent) this.sentence.textContent = text;
  }

  read() {
    const now = this.current();
    if (!now) return;
    const value = this.values(now)[this.row], kind = this.kinds[this.row];
    this.reading.textContent = `${this.layers[this.row]}${kind ? ` (${kind})` : ""}, step ${now.step}: ${QUANTITIES[this.quantity].label} ${shown(value)}.`;
  }

  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    this.row = Math.min(this.layers.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / this.tall)));
    this.cursor.set(this.stepAt(event.clientX - box.left));
    this.read();
  }

  key(event) {
    const at = this.looks.indexOf(this.current());
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === "Enter") this.open();
    if (!move) return;
    event.preventDefault();
    this.row = Math.min(this.layers.length - 1, Math.max(0, this.row + move[0]));
    const look = this.looks[Math.min(this.looks.length - 1, Math.max(0, at + move[1]))];
    if (move[1] && look) this.cursor.set(look.step);
    this.paint();
    this.read();
  }

  open() { this.onlayer?.(this.layers[this.row]); }

  table() {
    const every = Math.ceil(this.looks.length / 30);
    const some = this.looks.filter((_, i) => i % every === 0 || i === this.looks.length - 1);
    return table(["layer", ...some.map((look) => `step ${look.step}`)], this.layers.map((name, row) => [name, ...some.map((look) => shown(this.values(look)[row]))]),
      QUANTITIES[this.quantity].words);
  }

  close() { this.watch.disconnect(); this.off(); }
}

/** What the gradient does from the output to the first layer, in a sentence. */
export function sentenceOf(look, quantity) {
  const values = look[quantity] ?? [], named = look.layers.map((name, i) => [name, values[i]]).filter(([, v]) => Number.isFinite(v));
  if (named.length < 2) return "";
  if (quantity === "dead") {
    const [name, most] = named.reduce((a, b) => b[1] > a[1] ? b : a);
    return most > 0 ? `At step ${look.step} the most dead units are in ${name}: ${shown(most, true)}.` : `At step ${look.step} no unit is dead on all rows looked at.`;
  }
  const [first, low] = named[0], [last, high] = named.at(-1);
  const ratio = low / high, label = QUANTITIES[quantity].label;
  const size = !Number.isFinite(ratio) || high === 0 ? "" : ratio < 0.1 ? `, ${shown(1 / ratio)} times less` : ratio > 10 ? `, ${shown(ratio)} times more` : ", of one order of size";
  return `At step ${look.step} the ${label} is ${shown(high)} in ${last}, nearest to the output, and ${shown(low)} in ${first}${size}.`;
}

/** A layer's histograms over steps: steps across, 32 bins from 1e-9 to 1e3 upward, the share of a bin as darkness. */
export function histograms(looks, layer, which, range, acrossLog) {
  const canvas = h("canvas", { role: "img", "aria-label": `Histogram of ${which} of ${layer} over steps` });
  canvas.style.width = "100%";
  const paint = () => {
    const tall = 6, context = prepared(canvas, 32 * tall + BOTTOM), inner = canvas.clientWidth - LEFT - RIGHT;
    const flow = { inner, range, acrossLog }, x = (step) => Flow.prototype.x.call(flow, step);
    const some = looks.filter((look) => look.histograms?.[which]?.[look.layers.indexOf(layer)]);
    some.forEach((look, i) => {
      const counts = look.histograms[which][look.layers.indexOf(layer)], most = Math.max(1, ...counts);
      const from = i ? x(edge(some[i - 1].step, look.step, acrossLog)) : LEFT, to = i + 1 < some.length ? x(edge(look.step, some[i + 1].step, acrossLog)) : LEFT + inner;
      counts.forEach((count, bin) => {
        context.fillStyle = colour("valid");
        context.globalAlpha = Math.sqrt(count / most);
        context.fillRect(from, (31 - bin) * tall, Math.max(1, to - from + 0.5), tall);
      });
    });
    context.globalAlpha = 1;
    context.fillStyle = colour("quiet");
    context.font = "11.5px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const power of [-9, -6, -3, 0, 3]) context.fillText(`1e${power}`, LEFT - 6, Math.min(31.2, Math.max(0.8, 32 - (power + 9) / 12 * 32)) * tall);
    context.textAlign = "center";
    for (const tick of ticks(range, acrossLog)) context.fillText(brief(tick), x(tick), 32 * tall + BOTTOM / 2 + 2);
  };
  const watch = new ResizeObserver(paint);
  watch.observe(canvas);
  return canvas;
}

/** A canvas as wide as it is shown and so high, in the dots of the screen. */
export function prepared(canvas, height) {
  const dots = Math.min(3, window.devicePixelRatio || 1), width = canvas.clientWidth || canvas.parentElement?.clientWidth || 300;
  const wide = Math.round(width * dots), tall = Math.round(height * dots);
  canvas.style.height = `${height}px`;
  if (canvas.width !== wide || canvas.height !== tall) { canvas.width = wide; canvas.height = tall; }
  const context = canvas.getContext("2d");
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

const edge = (a, b, log) => log ? Math.sqrt(Math.max(1, a) * Math.max(1, b)) : (a + b) / 2;
const brief = (step) => step >= 1e6 ? `${step / 1e6}M` : step >= 1e4 ? `${step / 1e3}k` : String(step);

function ticks([low, high], log) {
  if (log) { const all = []; for (let t = 1; t <= high; t *= 10) if (t >= low) all.push(t); return all; }
  const raw = Math.max(1, (high - low) / 5), size = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= raw);
  const all = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) all.push(t);
  return all;
}

function clipped(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let short = text;
  while (short.length > 1 && context.measureText(`…${short}`).width > width) short = short.slice(1);
  return `…${short}`;
}
