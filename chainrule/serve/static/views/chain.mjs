// Chain rule: a formula, or a net for one row, as a graph: values on the way up, derivatives on the way down, and the sum over paths.

import * as api from "../api.mjs";
import { asTable, fill, h, shown, table } from "../dom.mjs";
import { cividis, HIGH, LOW } from "../flow.mjs";
import { graph } from "../graph.mjs";
import { numbers } from "../numbers.mjs";
import { address, remember } from "../state.mjs";

const EXAMPLE = { formula: "e = (a + b) * (b + 1)", at: "a=2,b=1" }, WAIT = 200;
const EXAMPLES = [["the lecture's example", EXAMPLE], ["a sigmoid unit", { formula: "z = w x + b; s = 1 / (1 + exp(-z))", at: "w=0.5,x=-2,b=0.1" }],
  ["a squared error", { formula: "o = w2 tanh(w1 x); E = (o - t)^2 / 2", at: "w2=3,w1=0.5,x=-2,t=1" }], ["one number on many paths", { formula: "c = x x; d = c + x; y = c d", at: "x=1.5" }]];

export async function open(main, values, online) {
  let of = values.run ?? "", formula = values.formula ?? EXAMPLE.formula, at = read(values.at ?? (values.formula ? "" : EXAMPLE.at)), row = values.row ?? "", by = values.by ?? "", asked = 0, timer = 0;
  const { runs } = await api.runs();
  const source = h("select", { "aria-label": "Graph of", onchange: () => { location.hash = source.value ? `#chain?${new URLSearchParams({ run: source.value })}` : "#chain"; } },
    h("option", { value: "" }, "a formula"), runs.slice(0, 200).map((one) => h("option", { value: one.run, selected: one.run === of }, one.run)));
  const text = h("input", { type: "text", class: "formula", value: formula, "aria-label": "Formula", maxlength: 600, spellcheck: "false", autocomplete: "off", oninput: () => { formula = text.value; later(); }, onchange: () => { formula = text.value; load(); } });
  const examples = h("select", { "aria-label": "Examples", onchange: () => { const [, one] = EXAMPLES[Number(examples.value)]; text.value = formula = one.formula; at = read(one.at); by = ""; examples.value = ""; fill(fields); load(); } },
    h("option", { value: "" }, "Examples …"), EXAMPLES.map(([name], i) => h("option", { value: i }, name)));
  const rowInput = h("input", { type: "number", min: 0, step: 1, value: row, "aria-label": "Row", placeholder: "first", onchange: () => { row = rowInput.value; load(); } });
  const fields = h("div", { class: "row", role: "group", "aria-label": "Values of the variables" }), said = h("p", { class: "hint", role: "status" }), figure = h("figure", { class: "chart" });
  const which = h("select", { "aria-label": "Derivative by", onchange: () => choose(Number(which.value)) }), sum = h("div", { class: "sum", "aria-live": "polite" }), paths = h("section", { class: "panel", hidden: true }, h("div", { class: "row" }, h("h2", {}, "Sum over paths"), h("label", {}, "by ", which)), sum);
  main.append(h("h1", {}, "Chain rule"), h("p", { class: "quiet" }, "In each number its value and ∂, the derivative of the result by it; on each edge how much its end changes with its beginning, all else the same. A derivative is the sum over all paths to the result of the products of the factors on the way."),
    h("div", { class: "row" }, h("label", {}, "Of ", source), of ? [h("label", {}, "Row ", rowInput), h("a", { href: `#run?${new URLSearchParams({ run: of })}` }, "The run")] : [text, examples]), fields, said, figure, paths);
  let drawn = null, shownGraph = null;

  const later = () => { clearTimeout(timer); timer = setTimeout(load, WAIT); };

  async function load() {
    clearTimeout(timer);
    const mine = ++asked, question = of ? { run: of, ...(row === "" ? {} : { row: Number(row) }) } : { formula, at };
    remember(of ? { row, by } : { formula, at: Object.entries(at).map(([name, value]) => `${name}=${value}`).join(","), by });
    try {
      const result = await api.chain(question);
      if (mine !== asked) return;
      online(true);
      said.textContent = result.layers ? `Row ${result.row}, by layers: ${result.why}.` : result.row === undefined ? "" : `Row ${result.row} of the data.`;
      if (result.layers) showLayers(result); else showNumbers(result);
    } catch (error) {
      if (mine === asked) { said.textContent = error.message; fill(figure); paths.hidden = true; }
    }
  }

  function showNumbers(result) {
    shownGraph = result;
    const { nodes, edges, variables } = result;
    if (variables) showFields(variables);
    drawn = numbers(result, choose);
    fill(figure, h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "The graph" }, drawn.svg),
      asTable("Nodes as a table", () => table(["node", "value", "derivative", "paths"], nodes.map((node) => [node.name, shown(node.value), shown(node.derivative), node.sum.paths]), "Nodes: value, and derivative of the result by each")),
      asTable("Edges as a table", () => table(["from", "to", "factor", ...(edges.some((e) => e.weight) ? ["weight", "derivative by the weight"] : [])],
        edges.map((e) => [brief(nodes[e.tail].name), brief(nodes[e.head].name), shown(e.factor), ...(edges.some((one) => one.weight) ? [e.weight, shown(e.derivative)] : [])]), "Edges: how much the end changes with the beginning")));
    const able = nodes.map((_, i) => i).filter((i) => i < nodes.length - 1 && nodes[i].sum.paths > 0);
    paths.hidden = !able.length;
    fill(which, able.map((i) => h("option", { value: i }, brief(nodes[i].name))));
    const named = able.find((i) => brief(nodes[i].name) === by);
    if (able.length) choose(named ?? able.reduce((best, i) => nodes[i].column === 0 && nodes[i].sum.paths > nodes[best].sum.paths ? i : best, able[0]), named !== undefined);
  }

  function choose(i, asAsked = true) {
    const { nodes } = shownGraph;
    if (i === nodes.length - 1 || !nodes[i].sum.paths) return;
    which.value = String(i);
    drawn.choose(i);
    if (asAsked && by !== brief(nodes[i].name)) { by = brief(nodes[i].name); remember({ by }); }
    const { paths: count, total, largest } = nodes[i].sum, result = brief(nodes.at(-1).name), name = brief(nodes[i].name);
    const left = count - largest.length;
    fill(sum, h("p", {}, h("strong", {}, `∂ ${result} / ∂ ${name} = ${shown(nodes[i].derivative)}`), total === null ? `, over ${count.toLocaleString("en")} paths, too many to go through one by one.` : `, the sum over ${count.toLocaleString("en")} path${count === 1 ? "" : "s"}:`),
      largest.length ? h("ol", {}, largest.map((path) => h("li", {}, path.nodes.map((n) => brief(nodes[n].name)).join(" → "), ": ", h("span", { class: "product" }, `${path.factors.map((f) => shown(f)).join(" × ")} = ${shown(path.product)}`)))) : null,
      largest.length && left ? h("p", { class: "hint" }, `and ${left.toLocaleString("en")} smaller ones`) : null);
  }

  function showFields(variables) {
    const now = [...fields.querySelectorAll("input")].map((input) => input.dataset.name).join();
    at = Object.fromEntries(Object.entries(variables).map(([name, value]) => [name, at[name] ?? value]));   // what was typed since it was asked
    if (now === Object.keys(variables).join()) return;                    // who types into one of them goes on
    fill(fields, Object.entries(variables).map(([name, value]) => {
      const input = h("input", { type: "number", step: "any", value, oninput: () => { if (input.value !== "" && Number.isFinite(Number(input.value))) { at[name] = Number(input.value); later(); } } });
      input.dataset.name = name;
      return h("label", {}, `${name} =`, input);
    }));
  }

  function showLayers({ layers, edges, paths: count }) {
    paths.hidden = true;
    const nodes = layers.map((layer) => ({ name: layer.times > 1 ? `${layer.name} × ${layer.times}` : layer.name, kind: layer.kind, shape: layer.gives, parameters: layer.parameters * layer.times }));
    const slopes = new Map(layers.map((layer, i) => [nodes[i].name, layer.derivatives.length ? Math.hypot(...layer.derivatives) / Math.sqrt(layer.derivatives.length) : null]));
    const net = graph({ nodes, edges });
    net.tint((name) => slopes.get(name), [LOW, HIGH], true);
    fill(figure, net.element, h("p", { class: "scale" }, "derivative of the loss by what a layer gives, root mean square ", `1e${LOW}`, bar(), `1e${HIGH}`),
      h("p", { class: "small" }, `${count.toLocaleString("en")} path${count === 1 ? "" : "s"} from the input to the loss; the derivative by the input is the sum over them.`),
      asTable("Values and derivatives as a table", () => table(["layer", "kind", "value", "derivative"], layers.map((layer, i) => [nodes[i].name, layer.kind, ends(layer.values), ends(layer.derivatives)]), "Root mean squares, of the first and the last of equal blocks")));
  }

  const anew = () => {                                                     // an address that was typed or gone back to
    const now = address();
    if (now.view !== "chain" || (now.values.run ?? "") !== of) return;
    formula = text.value = now.values.formula ?? EXAMPLE.formula;
    at = read(now.values.at ?? (now.values.formula ? "" : EXAMPLE.at));
    row = rowInput.value = now.values.row ?? "";
    by = now.values.by ?? "";
    fill(fields);
    load();
  };
  addEventListener("hashchange", anew);
  await load();
  return () => { clearTimeout(timer); asked++; removeEventListener("hashchange", anew); };
}

/** Values as an address has them, `a=2,b=1`. */
function read(text) {
  const pairs = text.split(",").map((one) => one.split("=").map((word) => word.trim())).filter(([name, value]) => name && value && Number.isFinite(Number(value)));
  return Object.fromEntries(pairs.map(([name, value]) => [name, Number(value)]));
}

const brief = (name) => name.split(" = ")[0];
const ends = (several) => several.length ? several.map((value) => shown(value)).join(" to ") : "–";

function bar() {
  const canvas = h("canvas", { width: 90, height: 1, "aria-hidden": "true" }), context = canvas.getContext("2d");
  for (let x = 0; x < 90; x++) { context.fillStyle = `rgb(${cividis(x / 89).join(",")})`; context.fillRect(x, 0, 1, 1); }
  return canvas;
}
