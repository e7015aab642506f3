// Neurons: of each unit the weights as they grow, and the training rows that excite it most.

import * as api from "../api.mjs";
import { diverging, fill, h, pixels, shown, table } from "../dom.mjs";
import { Log } from "../log.mjs";
import { remember } from "../state.mjs";

export async function open(main, values, online) {
  const run = values.run, log = new Log(run);
  const pick = h("select", { "aria-label": "Layer", onchange: () => { remember({ layer: pick.value }); load(pick.value); } }), list = h("div", { class: "columns" }), said = h("p", { class: "hint", role: "status" }, "Looking at the training rows …");
  const slider = h("input", { type: "range", min: 0, max: 0, value: 0, "aria-label": "Snapshot of the weights", oninput: () => grow() }), when = h("span", { class: "quiet small" }, ""), growing = h("section", { hidden: true });
  const grown = h("div", { class: "strip" });
  growing.append(h("h2", {}, "Weights as they grow"), h("div", { class: "row" }, when), slider, grown);
  main.append(h("h1", {}, "Neurons"), h("p", { class: "quiet" }, "Of ", h("a", { href: `#run?${new URLSearchParams({ run })}` }, run), ": what each unit weighs, and what excites it most among training rows."),
    h("div", { class: "row" }, h("label", {}, "Layer ", pick)), said, growing, h("section", {}, list));
  let result = null, shape = null;

  async function load(layer) {
    said.textContent = "Looking at the training rows …";
    try { result = await api.ask("neurons", run, layer ? { layer } : {}); online(true); } catch (error) { said.textContent = error.message; return; }
    fill(pick, result.layers.map((name) => h("option", { value: name, selected: name === result.layer }, name)));
    const first = result.units[0]?.weights?.picture;
    shape = first ? [first.h, first.w] : null;
    said.textContent = `${result.units.length} of ${result.of} units of ${result.layer}, over ${result.n.toLocaleString("en")} training rows.`;
    fill(list, result.units.map((unit) => h("article", { class: "panel" }, h("h2", {}, `Unit ${unit.unit + 1}`), h("p", { class: "hint" }, `above zero for ${shown(unit.active, true)} of the rows, mean ${shown(unit.mean)}`),
      h("div", { class: "row" }, weights(unit.weights, `Weights of unit ${unit.unit + 1}`)),
      unit.rows.some((row) => row.picture) ? h("div", { class: "strip" }, unit.rows.map((row) => h("figure", {}, pixels(row.picture, { label: `Training row ${row.row}${row.truth ? `, a ${row.truth}` : ""}`, scale: Math.max(1, Math.floor(44 / row.picture.w)) }), h("figcaption", { class: "small" }, row.truth ?? "", " ", shown(row.value)))))
        : table(["row", "gives", ...(result.names.length ? result.names.slice(0, 8) : ["inputs"])], unit.rows.map((row) => [String(row.row), row.value, ...(result.names.length ? row.numbers : [row.numbers.map((v) => shown(v)).join("  ")])]), "Rows that excite it most, as the net reads them"))));
    grow();
  }

  function weights(of, label) {
    if (!of) return h("span", { class: "hint" }, "It has no weights of its own.");
    if (of.picture) return h("figure", {}, pixels(of.picture, { signed: true, label, scale: Math.max(1, Math.floor(96 / of.picture.w)) }), h("figcaption", { class: "small" }, `up to ± ${shown(of.picture.most)}`));
    return cells(of.numbers, label);
  }

  function grow() {
    const looks = log.looks.filter((look) => look.units && result && unitsOf(look.units, result.layer));
    growing.hidden = looks.length < 2;
    if (growing.hidden) return;
    const stays = Number(slider.value) >= Number(slider.max);
    slider.max = looks.length - 1;
    if (stays) slider.value = looks.length - 1;
    const look = looks[Number(slider.value)], units = unitsOf(look.units, result.layer);
    when.textContent = `After step ${look.step.toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", when.textContent);
    fill(grown, units.map((values, i) => cells(values, `Weights of unit ${i + 1} after step ${look.step}`, shape)));
  }

  const end = api.follow([run], (_, events, anew) => { if (anew) log.clear(); log.apply(events); grow(); }, () => {}, online);
  await load(values.layer ?? "");
  return end;
}

const unitsOf = (units, layer) => units[layer] ?? Object.entries(units).find(([name]) => layer.startsWith(`${name}.`) || name.startsWith(`${layer}.`))?.[1];

/** Numbers as cells: over the picture that they belong to where they have its size, else in rows. */
function cells(values, label, shape = null) {
  const fits = shape && shape[0] * shape[1] === values.length, across = fits ? shape[1] : Math.min(28, values.length), down = Math.ceil(values.length / across), most = Math.max(1e-9, ...values.map(Math.abs));
  const canvas = h("canvas", { class: "pixels", width: across, height: down, role: "img", "aria-label": `${label}, up to ± ${shown(most)}` }), size = fits ? Math.max(1, Math.floor(96 / across)) : 9;
  canvas.style.width = `${across * size}px`;
  canvas.style.height = `${down * size}px`;
  const context = canvas.getContext("2d");
  values.forEach((value, i) => { context.fillStyle = `rgb(${diverging(value / most).join(",")})`; context.fillRect(i % across, Math.floor(i / across), 1, 1); });
  return canvas;
}
