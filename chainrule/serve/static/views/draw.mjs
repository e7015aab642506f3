// Draw: a pad for nets that sort pictures; what the net sees, answers and has inside, what it learned that is nearest, where the answer turns.

import * as api from "../api.mjs";
import { diverging, fill, h, hue, pixels, shown } from "../dom.mjs";

const FINE = 10;              // dots of the pad for a pixel of the net
const WAIT = 90;              // milliseconds after a stroke before it is asked about

export async function open(main, values, online) {
  const run = values.run, pad = await api.ask("examples", run, { from: Number(values.from ?? 0) });
  const { h: high, w: wide, c, maximum, classes } = pad;
  let current = new Array(c * high * wide).fill(0), sliders = { ...pad.unchanged }, drawing = false, timer = 0, asking = false, again = false, drawn = true;
  const canvas = h("canvas", { class: "pad", width: wide * FINE, height: high * FINE, tabindex: 0, role: "img", "aria-label": `A pad of ${wide} by ${high} pixels to draw on. Without a pointer, put an example on it.` });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const centre = h("input", { type: "checkbox", checked: high === 28 && wide === 28 });
  const answers = h("div", {}), warning = h("p", { class: "note", hidden: true, role: "status" }), sees = h("div", {}), inside = h("div", {}), near = h("div", { class: "strip" }), said = h("p", { class: "small quiet", role: "status" });
  const strips = h("div", {});
  blank();

  function blank() { context.fillStyle = "#000"; context.fillRect(0, 0, canvas.width, canvas.height); }

  canvas.addEventListener("pointerdown", (e) => { if (!drawn) { blank(); drawn = true; } drawing = true; canvas.setPointerCapture(e.pointerId); stroke(e, true); });
  canvas.addEventListener("pointermove", (e) => { if (drawing) stroke(e, false); });
  for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { drawing = false; });
  let last = null;
  function stroke(event, first) {
    const box = canvas.getBoundingClientRect(), x = (event.clientX - box.left) * canvas.width / box.width, y = (event.clientY - box.top) * canvas.height / box.height;
    context.strokeStyle = "#fff";
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = canvas.width * (wide <= 10 ? 0.12 : 0.075);
    context.beginPath();
    context.moveTo(...(first || !last ? [x, y] : last));
    context.lineTo(x + 0.01, y);
    context.stroke();
    last = [x, y];
    current = read();
    soon();
  }

  /** What is on the pad as pixels of the net: each the mean of its dots; brought to the size and place of MNIST's digits where that is wanted. */
  function read() {
    const grey = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let light = (x, y) => grey[4 * (y * canvas.width + x)];
    const out = new Array(c * high * wide).fill(0);
    let from = { x: 0, y: 0, size: canvas.width, by: canvas.width / wide, dx: 0, dy: 0 };
    if (centre.checked) {
      let left = canvas.width, right = -1, top = canvas.height, bottom = -1;
      for (let y = 0; y < canvas.height; y++) for (let x = 0; x < canvas.width; x++) if (light(x, y) > 40) { left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y); }
      if (right < 0) return out;
      const by = Math.max(right - left + 1, bottom - top + 1) / (20 / 28 * wide);          // dots for a pixel: the longer side becomes 20 of 28
      let mass = 0, mx = 0, my = 0;
      for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) { const v = light(x, y); mass += v; mx += v * x; my += v * y; }
      from = { by, x: mx / mass - by * wide / 2, y: my / mass - by * high / 2 };
    } else from = { by: canvas.width / wide, x: 0, y: 0 };
    for (let row = 0; row < high; row++) for (let column = 0; column < wide; column++) {
      let sum = 0, count = 0;
      for (let y = Math.floor(from.y + row * from.by); y < from.y + (row + 1) * from.by; y++) for (let x = Math.floor(from.x + column * from.by); x < from.x + (column + 1) * from.by; x++) {
        count++;
        if (x >= 0 && y >= 0 && x < canvas.width && y < canvas.height) sum += light(x, y);
      }
      for (let k = 0; k < c; k++) out[k * high * wide + row * wide + column] = Math.round(sum / Math.max(1, count) / 255 * maximum);
    }
    return out;
  }

  /** Put exact pixels on the pad. */
  function put(exact) {
    current = exact;
    drawn = false;
    for (let row = 0; row < high; row++) for (let column = 0; column < wide; column++) {
      const rgb = [0, 1, 2].map((k) => Math.round(exact[(c === 3 ? k : 0) * high * wide + row * wide + column] / maximum * 255));
      context.fillStyle = `rgb(${rgb.join(",")})`;
      context.fillRect(column * FINE, row * FINE, FINE, FINE);
    }
    soon();
  }

  function soon() { clearTimeout(timer); timer = setTimeout(ask, WAIT); }

  async function ask() {
    if (asking) { again = true; return; }
    asking = true;
    try {
      if (!current.some((v) => v)) { fill(answers, h("p", { class: "hint" }, "Draw on the pad, or put an example on it.")); return; }
      const result = await api.ask("answer", run, { pixels: current, sliders });
      online(true);
      show(result);
      showStrips(await api.ask("vary", run, { pixels: current, sliders }));
      said.textContent = "";
    } catch (error) { said.textContent = error.message; } finally {
      asking = false;
      if (again) { again = false; ask(); }
    }
  }

  function show({ probabilities, layers, neighbours, far, sees: seen }) {
    const order = probabilities.map((p, i) => [p, i]).sort((a, b) => b[0] - a[0]).slice(0, 10).sort((a, b) => a[1] - b[1]), best = Math.max(...probabilities);
    fill(answers, h("div", { class: "bars" }, order.flatMap(([p, i]) => [h("span", { class: p === best ? "most" : null }, classes[i]),
      h("meter", { min: 0, max: 1, value: p, "aria-label": `Probability of ${classes[i]}` }), h("span", { class: `number${p === best ? " most" : ""}`, "data-probability": p, "data-class": classes[i] }, shown(p, true))])));
    const scale = Math.max(1, Math.floor(112 / wide));
    fill(sees, pixels(seen, { label: "What the net sees", scale }));
    warning.hidden = !far?.far;
    if (far?.far) warning.textContent = `This is far from all that the net has learned: ${shown(far.distance)} from the nearest training picture, where 99 of 100 validation pictures are within ${shown(far.limit)}. Do not trust the answer.`;
    fill(near, (neighbours ?? []).map((one) => h("figure", {}, pixels(one.picture, { label: `Training row ${one.row}, a ${one.truth}`, scale: Math.max(1, Math.floor(64 / wide)) }), h("figcaption", { class: "small" }, one.truth, " ", shown(one.distance)))));
    fill(inside, layers.map((layer) => h("figure", { class: "chart" }, h("figcaption", { class: "small" }, h("span", {}, layer.name, " ", h("span", { class: "quiet" }, layer.shape.join(" × ")))),
      layer.maps ? h("div", { class: "strip" }, layer.maps.map((map, i) => pixels(map, { label: `Map ${i + 1} of ${layer.name}`, scale: Math.max(1, Math.floor(56 / map.w)) }))) : units(layer))));
  }

  function showStrips(all) {
    for (const strip of all) {
      const bar = strips.querySelector(`[data-name="${strip.name}"] canvas`);
      if (!bar) continue;
      const paint = bar.getContext("2d");
      bar.width = strip.best.length;
      bar.height = 1;
      strip.best.forEach((k, i) => { paint.globalAlpha = 0.3 + 0.7 * strip.probability[i]; paint.fillStyle = hue(k); paint.fillRect(i, 0, 1, 1); });
      const turns = strip.best.filter((k, i) => i && k !== strip.best[i - 1]).length;
      bar.setAttribute("aria-label", `${strip.name}: the answer is ${[...new Set(strip.best.map((k) => classes[k]))].join(", ")}${turns ? `, turning ${turns} times` : " throughout"}`);
    }
  }

  for (const [name, [low, up]] of Object.entries(pad.ranges)) {
    const output = h("output", {}, "");
    const tell = () => { output.textContent = name === "rotation" ? `${Math.round(sliders[name])}°` : name === "scale" ? `× ${sliders[name].toFixed(2)}` : sliders[name].toFixed(2); };
    const input = h("input", { type: "range", min: low, max: up, step: (up - low) / 100, value: sliders[name], "aria-label": name, oninput: () => {
      const value = Number(input.value), rest = pad.unchanged[name];
      sliders[name] = Math.abs(value - rest) < (up - low) / 150 ? rest : value;
      tell();
      soon(); } });
    input.dataset.rest = pad.unchanged[name];
    strips.append(h("div", { class: "slider", "data-name": name }, h("span", {}, name), input, output, h("canvas", { role: "img", "aria-label": name })));
    tell();
  }

  const examples = h("div", { class: "strip", role: "group", "aria-label": "Validation pictures" });
  const showExamples = (some) => fill(examples, some.map((one) => {
    const button = h("button", { "aria-label": `Put validation row ${one.row}, a ${one.truth}, on the pad`, "data-row": one.row, onclick: () => put(one.pixels) });
    button.append(pixels({ w: wide, h: high, c, data: btoa(String.fromCharCode(...one.pixels.map((v) => Math.round(v / maximum * 255)))) }, { scale: Math.max(1, Math.floor(32 / wide)), label: "" }));
    return button;
  }));
  showExamples(pad.examples);
  let from = Number(values.from ?? 0);
  main.append(h("h1", {}, "Draw"), h("p", { class: "quiet" }, "For ", h("a", { href: `#run?${new URLSearchParams({ run })}` }, run), ". Draw a ", classes.length <= 12 ? classes.join(", ") : "picture", ", or put one of the validation pictures on the pad."),
    h("div", { class: "columns" },
      h("div", {}, canvas, h("div", { class: "row" }, h("button", { onclick: () => { blank(); drawn = true; current = current.map(() => 0); ask(); } }, "Clear"),
        h("label", { class: "small" }, centre, "size and place as MNIST's"), h("button", { onclick: () => { sliders = { ...pad.unchanged }; for (const input of strips.querySelectorAll("input")) { input.value = input.dataset.rest; input.dispatchEvent(new Event("input")); } } }, "Sliders to rest")),
        h("h2", { class: "minor" }, "Where the answer turns"), h("p", { class: "hint" }, "Under each slider, the answer along it: a colour a class, paler where less sure."), strips),
      h("div", {}, h("h2", {}, "Answer"), answers, warning, said, h("h2", { class: "minor" }, "What the net sees"), sees, h("h2", { class: "minor" }, "Nearest in training"), near),
      h("div", {}, h("h2", {}, "Validation pictures"), examples, h("button", { onclick: async () => { from += 24; showExamples((await api.ask("examples", run, { from })).examples); } }, "Others"))),
    h("section", {}, h("h2", {}, "Layer by layer"), h("p", { class: "hint" }, "Maps as pictures from their least to their greatest value; units in orange below zero and blue above."), h("div", { class: "columns" }, inside)));
  if (pad.examples.length) put(pad.examples[0].pixels); else ask();
  return () => clearTimeout(timer);
}

/** Units of a layer as cells of a row. */
function units(layer) {
  const across = Math.min(32, layer.units.length), down = Math.ceil(layer.units.length / across), most = Math.max(1e-9, ...layer.units.map(Math.abs));
  const canvas = h("canvas", { class: "pixels", width: across, height: down, role: "img", "aria-label": `${layer.count} units of ${layer.name}, the largest ${shown(most)}` });
  canvas.style.width = `${across * 9}px`;
  canvas.style.height = `${down * 9}px`;
  const context = canvas.getContext("2d");
  layer.units.forEach((value, i) => { context.fillStyle = `rgb(${diverging(value / most).join(",")})`; context.fillRect(i % across, Math.floor(i / across), 1, 1); });
  return canvas;
}
