// Curves over steps: uPlot, one step cursor for all charts of a page, every chart also a table.

import uPlot from "./vendor/uPlot.esm.js";
import { asTable, colour, h, shown, table } from "./dom.mjs";

export const LEFT = 58, RIGHT = 14;       // of every picture over steps, so that they stand under one another

/** The step that all pictures of a view point at. */
export class Cursor {
  constructor() { this.step = null; this.listeners = new Set(); }
  set(step) { if (step === this.step) return; this.step = step; for (const listen of this.listeners) listen(step); }
  on(listen) { this.listeners.add(listen); return () => this.listeners.delete(listen); }
}

/** A chart: `lines` is [{label, hue, step, value, width, dash, points, band}], drawn again by `draw(lines, range)`. */
export class Chart {
  constructor(title, { cursor, perCent = false, log = false, height = 200, onlog = null } = {}) {
    Object.assign(this, { title, cursor, perCent, log, height, plot: null, lines: [], range: null });
    this.key = h("span", { class: "key" });
    this.box = h("div", {});
    this.caption = h("figcaption", {}, h("span", {}, title), this.key);
    this.figure = h("figure", { class: "chart" }, this.caption, this.box, asTable("Table", () => this.table()));
    this.box.setAttribute("role", "img");
    this.box.setAttribute("aria-label", title);
    this.figure.hidden = true;
    this.watch = new ResizeObserver(() => this.plot?.setSize(this.size()));
    this.watch.observe(this.box);
    this.off = cursor?.on((step) => this.point(step));
    if (onlog) this.key.append(onlog);
  }

  size() { return { width: Math.max(200, this.box.clientWidth), height: this.height }; }

  draw(lines, range, acrossLog = false) {
    const drawn = lines.filter((line) => line.step.length);
    this.figure.hidden = !drawn.length;
    if (!drawn.length) return;
    const again = !this.plot || drawn.length !== this.lines.length || acrossLog !== this.acrossLog
      || drawn.some((line, i) => line.label !== this.lines[i].label || line.hue !== this.lines[i].hue);
    Object.assign(this, { lines: drawn, range, acrossLog });
    const data = joined(drawn, acrossLog);
    this.box.setAttribute("aria-label", this.describe());
    if (again) this.make(data); else this.plot.setData(data);
    this.point(this.cursor?.step);
  }

  make(data) {
    this.plot?.destroy();
    if (!this.lines.length) { this.plot = null; return; }
    const ink = colour("quiet"), grid = colour("line");
    const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const bands = this.lines.map((line, i) => line.band ? { series: [i + 1, i], fill: line.band } : null).filter(Boolean);
    this.plot = new uPlot({
      ...this.size(), padding: [8, RIGHT, 0, 0], legend: { show: false }, bands,
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: false, distr: this.acrossLog ? 3 : 1, range: () => this.across() }, y: { distr: this.log ? 3 : 1, range: (u, low, high) => this.up(low, high) } },
      axes: [{ ...axis, size: 30, values: (u, ticks) => ticks.map((t) => t === null ? "" : brief(t)) },
        { ...axis, size: LEFT, values: (u, ticks) => ticks.map((t) => t === null ? "" : this.perCent ? `${+(100 * t).toPrecision(6)} %` : brief(t)) }],
      series: [{}, ...this.lines.map((line) => ({ label: line.label, stroke: line.hue, width: line.width ?? 2, dash: line.dash, spanGaps: true,
        points: { show: line.points ?? false, size: 6, fill: line.hue } }))],
      hooks: { ready: [(u) => u.over.addEventListener("pointermove", (event) => {
        const left = event.clientX - u.over.getBoundingClientRect().left;
        this.cursor?.set(Math.max(0, Math.round(u.posToVal(left, "x"))));
      })] },
    }, data, this.box);
    this.key.replaceChildren(...this.lines.filter((line) => !line.hidden).map((line) => h("span", {}, swatch(line), line.label)));
  }

  across() {
    const [low, high] = this.range ?? [0, 1];
    return this.acrossLog ? [Math.max(1, low), Math.max(2, high)] : [low, Math.max(low + 1, high)];
  }

  up(low, high) {
    if (low === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
    if (this.log) return [low > 0 ? low / 1.2 : 1e-9, high > 0 ? high * 1.2 : 1];
    if (this.perCent && high <= 1 && high - low < 0.05) [low, high] = [Math.max(0, (low + high) / 2 - 0.025), Math.min(1, (low + high) / 2 + 0.025)];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.06 || 0.05;
    const least = low >= 0 ? Math.max(0, low - room) : low - room;
    return [least, this.perCent && high <= 1 ? Math.min(1, high + room) : high + room];
  }

  point(step) {
    if (!this.plot || step === null || step === undefined) return;
    this.plot.setCursor({ left: this.plot.valToPos(this.acrossLog ? Math.max(1, step) : step, "x"), top: 10 }, false);
  }

  describe() {
    const ends = this.lines.filter((line) => !line.hidden).map((line) => `${line.label} ends at ${shown(line.value.at(-1), this.perCent)}`);
    return `${this.title} over steps. ${ends.join("; ")}. The same as a table below.`;
  }

  table() {
    const lines = this.lines.filter((line) => !line.hidden);
    const steps = [...new Set(lines.flatMap((line) => spread(line.step)))].sort((a, b) => a - b);
    const maps = lines.map((line) => new Map(line.step.map((s, i) => [s, line.value[i]])));
    return table(["step", ...lines.map((line) => line.label)], steps.map((s) => [String(s), ...maps.map((m) => m.has(s) ? shown(m.get(s), this.perCent) : "")]), this.title);
  }

  close() { this.plot?.destroy(); this.watch.disconnect(); this.off?.(); }
}

const brief = (value) => Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(0).replace("e+", "e") : String(+value.toPrecision(6));

/** A short line as it is drawn. */
export function swatch(line) {
  const mark = h("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.borderTopColor = line.hue;
  mark.style.borderTopStyle = line.dash ? "dashed" : "solid";
  mark.style.borderTopWidth = `${Math.max(1.5, line.width ?? 2)}px`;
  return mark;
}

/** At most some forty of the steps of a line. */
const spread = (steps) => { const every = Math.ceil(steps.length / 40); return steps.filter((_, i) => i % every === 0 || i === steps.length - 1); };

/** Lines with steps of their own as uPlot's one array of steps and one of values for each. */
function joined(lines, acrossLog) {
  const usable = (step) => !acrossLog || step >= 1;
  if (lines.length === 1) {
    const rows = lines[0].step.map((s, i) => [s, lines[0].value[i]]).filter(([s]) => usable(s));
    return [rows.map((r) => r[0]), rows.map((r) => finite(r[1]))];
  }
  const steps = [...new Set(lines.flatMap((line) => line.step.filter(usable)))].sort((a, b) => a - b);
  const place = new Map(steps.map((s, i) => [s, i]));
  return [steps, ...lines.map((line) => {
    const values = new Array(steps.length).fill(undefined);
    line.step.forEach((s, i) => { if (usable(s)) values[place.get(s)] = finite(line.value[i]); });
    return values;
  })];
}

const finite = (value) => Number.isFinite(value) ? value : null;
