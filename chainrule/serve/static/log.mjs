// What a run's events say so far, as arrays that charts draw.

const WORDS = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const MOST = 20000;                       // points of a curve; beyond, neighbours share the least and the greatest of four

/** Numbers that are written as words, anywhere in an event, as numbers. */
export function numbers(value) {
  if (typeof value === "string") return value in WORDS ? WORDS[value] : value;
  if (Array.isArray(value)) return value.map(numbers);
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, numbers(v)]));
  return value;
}

export class Log {
  constructor(name) { this.name = name; this.clear(); }

  clear() {
    Object.assign(this, { started: null, planned: null, finished: null, progress: null, saved: 0, seconds: 0, loss: { step: [], value: [] },
      evaluations: [], looks: [], diagnoses: [], notes: [], commands: [], texts: [], stages: [], last: -1, events: 0 });
  }

  /** Take in events in their order; one that came already is left out. */
  apply(events) {
    for (const event of events) {
      if (event.at <= this.last && event.event !== "testopened") continue;
      this.last = Math.max(this.last, event.at);
      this.events += 1;
      this.seconds = event.seconds ?? this.seconds;
      const take = this[`on_${event.event}`];
      if (take) take.call(this, event);
    }
    if (this.loss.step.length > MOST) this.thin();
  }

  on_started(e) { if (!this.started) this.started = e; this.finished = null; }
  on_planned(e) { this.planned = e; }
  on_entered(e) { this.stages.push(e); }
  on_progressed(e) { this.progress = e; this.point(e.step, numbers(e.loss)); }
  on_looked(e) { this.looks.push({ step: e.step, ...numbers(e.looks) }); }
  on_evaluated(e) { this.evaluations.push({ ...e, train: numbers(e.train), valid: numbers(e.valid) }); }
  on_sampled(e) { this.texts.push(e); }
  on_diagnosed(e) { this.diagnoses.push(e); }
  on_warned(e) { this.notes.push(e.message); }
  on_commanded(e) { this.commands.push(e); }
  on_saved(e) { this.saved = e.at; }
  on_finished(e) { this.finished = { ...e, best: numbers(e.best) }; }

  point(step, value) {
    const { step: steps, value: values } = this.loss;
    if (steps.length && step <= steps[steps.length - 1]) return;
    steps.push(step);
    values.push(value);
  }

  thin() {
    const steps = [], values = [];
    for (let i = 0; i < this.loss.step.length; i += 4) {
      let low = i, high = i;
      for (let k = i; k < Math.min(i + 4, this.loss.step.length); k++) {
        if (!(this.loss.value[k] >= this.loss.value[low])) low = k;
        if (this.loss.value[k] > this.loss.value[high]) high = k;
      }
      for (const k of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
        steps.push(this.loss.step[k]);
        values.push(this.loss.value[k]);
      }
    }
    this.loss = { step: steps, value: values };
  }

  /** The last step of which anything is known. */
  get step() {
    return Math.max(0, this.progress?.step ?? 0, this.finished?.steps ?? 0, this.evaluations.at(-1)?.step ?? 0, this.looks.at(-1)?.step ?? 0);
  }

  get state() {
    if (this.finished) return this.finished.reason;
    const word = this.commands.findLast((c) => ["pause", "go"].includes(c.command))?.command;
    return word === "pause" ? "paused" : "running";
  }

  /** The measures of validation, the one that is most read first. */
  get measures() {
    const names = new Set(this.evaluations.flatMap((e) => Object.keys(e.valid)));
    names.delete("loss");
    const order = ["accuracy", "error", "perplexity", "rmse", "r2", "mase"];
    return [...names].sort((a, b) => rank(a, order) - rank(b, order));
  }

  /** The look that was the last one at a step. */
  look(step) {
    let best = null;
    for (const look of this.looks) if (look.step <= step) best = look; else break;
    return best ?? this.looks[0] ?? null;
  }

  evaluation(step) { return this.evaluations.findLast((e) => e.step <= step) ?? null; }
}

const rank = (name, order) => order.includes(name) ? order.indexOf(name) : 99;

/** The value of a curve at a step: the last one that was known then. */
export function at(curve, step) {
  let low = 0, high = curve.step.length - 1, best = null;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (curve.step[middle] <= step) { best = curve.value[middle]; low = middle + 1; } else high = middle - 1;
  }
  return best;
}
