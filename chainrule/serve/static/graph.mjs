// The net as a graph: dagre lays it out, the gradient at the cursor tints it.

import dagre from "./vendor/dagre.mjs";
import { asTable, h, table } from "./dom.mjs";
import { cividis, placeOf } from "./flow.mjs";

const WIDE = 168, TALL = 40;

/** A graph of {nodes, edges}; `tint(valueOf, scale)` colours each layer by a value of its own. */
export function graph({ nodes, edges }, onlayer) {
  const g = new dagre.graphlib.Graph().setGraph({ rankdir: "LR", nodesep: 14, ranksep: 26, marginx: 4, marginy: 4 }).setDefaultEdgeLabel(() => ({}));
  nodes.forEach((node, i) => g.setNode(String(i), { width: WIDE, height: TALL }));
  edges.forEach(([a, b]) => g.setEdge(String(a), String(b)));
  dagre.layout(g);
  const { width, height } = g.graph();
  const svg = h("svg", { class: "graph", viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`, role: "img", "aria-label": `The net as a graph of ${nodes.length} layers; the same as a table below.` });
  svg.style.width = `${Math.ceil(width)}px`;                              // of its own size: it is scrolled, not shrunk
  for (const { v, w } of g.edges()) {
    const { points } = g.edge(v, w);
    svg.append(h("path", { d: points.map((p, i) => `${i ? "L" : "M"}${p.x.toFixed(1)} ${p.y.toFixed(1)}`).join("") }));
  }
  const boxes = nodes.map((node, i) => {
    const { x, y } = g.node(String(i));
    const box = h("rect", { x: x - WIDE / 2, y: y - TALL / 2, width: WIDE, height: TALL, rx: 6 });
    const name = h("text", { x, y: y - 4, "text-anchor": "middle" }, short(node.name)), kind = h("text", { x, y: y + 12, "text-anchor": "middle", opacity: 0.8 }, short(`${node.kind} ${node.shape.join("×")}`));
    const group = h("g", {}, h("title", {}, `${node.name}: ${node.kind}, gives ${node.shape.join(" × ") || "1"}, ${node.parameters.toLocaleString("en")} parameters`), box, name, kind);
    if (onlayer) group.addEventListener("click", () => onlayer(node.name));
    svg.append(group);
    return { node, box, texts: [name, kind], group };
  });
  const tint = (valueOf, scale, log) => {
    for (const { node, box, texts } of boxes) {
      const value = valueOf(node.name), place = placeOf(value, scale, log);
      const rgb = place === null ? null : cividis(place);
      box.setAttribute("fill", rgb ? `rgb(${rgb.join(",")})` : "var(--panel)");
      const light = rgb && 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 128;
      for (const text of texts) text.setAttribute("fill", rgb ? (light ? "#111" : "#fff") : "var(--ink)");
    }
  };
  tint(() => null, [0, 1], false);
  const readers = new Map(nodes.map((_, i) => [i, edges.filter(([a]) => a === i).map(([, b]) => nodes[b].name).join(", ")]));
  const listed = asTable("The net as a table", () => table(["layer", "kind", "gives", "parameters", "read by"],
    nodes.map((node, i) => [node.name, node.kind, node.shape.join(" × ") || "1", node.parameters, readers.get(i) || "the answer"]), "Layers"));
  return { element: h("figure", { class: "chart" }, h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "The net as a graph" }, svg), listed), tint };
}

const short = (text) => text.length > 22 ? `…${text.slice(-21)}` : text;

