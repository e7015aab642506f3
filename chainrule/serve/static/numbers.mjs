// A graph of single numbers: each node with its value and the derivative of the result by it, each edge with its factor; dagre lays it out.

import dagre from "./vendor/dagre.mjs";
import { h, shown } from "./dom.mjs";

const WIDE = 132, TALL = 58, LABEL = [56, 18], MOST_LABELS = 24, LETTERS = 18, LETTER = 7.4;

/** The drawing of {nodes, edges}; `choose(node)` marks a node and every path from it to the result, `onchoose` is called for a click. */
export function numbers({ nodes, edges }, onchoose) {
  const labelled = edges.length <= MOST_LABELS, last = nodes.length - 1, most = Math.max(1e-300, ...edges.map((e) => Math.abs(e.factor ?? 0)));
  const g = new dagre.graphlib.Graph().setGraph({ rankdir: "LR", nodesep: 18, ranksep: labelled ? 56 : 90, marginx: 6, marginy: 6 }).setDefaultEdgeLabel(() => ({}));
  nodes.forEach((_, i) => g.setNode(String(i), { width: WIDE, height: TALL }));
  edges.forEach((e) => g.setEdge(String(e.tail), String(e.head), labelled ? { width: LABEL[0], height: LABEL[1], labelpos: "c" } : {}));
  dagre.layout(g);
  const { width, height } = g.graph();
  const svg = h("svg", { class: "graph numbers", viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`, role: "group", "aria-label": "The graph: choose a number to see its paths to the result" });
  svg.style.width = `${Math.ceil(width)}px`;                              // of its own size: it is scrolled, not shrunk
  const lines = edges.map((edge) => {
    const { points, x, y } = g.edge(String(edge.tail), String(edge.head));
    const line = h("path", { d: smooth(points), class: edge.factor < 0 ? "minus" : null, "aria-hidden": "true" });
    const tip = h("path", { d: arrow(points.at(-2), points.at(-1)), class: "tip", "aria-hidden": "true" });
    const group = h("g", { class: "edge" }, line, tip);
    line.style.strokeOpacity = 0.3 + 0.7 * Math.min(1, Math.abs(edge.factor ?? 0) / most);
    const factor = shown(edge.factor), wide = factor.length * LETTER + 6;
    if (labelled) group.append(h("rect", { x: x - wide / 2, y: y - LABEL[1] / 2, width: wide, height: LABEL[1], rx: 4, class: "factor" }), h("text", { x, y: y + 4, "text-anchor": "middle", "aria-hidden": "true" }, factor));
    return group;
  });
  const boxes = nodes.map((node, i) => {
    const { x, y } = g.node(String(i)), name = node.name.length > LETTERS ? `${node.name.slice(0, LETTERS - 1)}…` : node.name;
    const pick = () => onchoose(i);
    return h("g", { class: "node", role: "button", tabindex: 0, "aria-pressed": "false", onclick: pick,
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pick(); } } },
      h("rect", { x: x - WIDE / 2, y: y - TALL / 2, width: WIDE, height: TALL, rx: 6 }),
      h("text", { x, y: y - 13, "text-anchor": "middle", class: "name" }, name),
      h("text", { x, y: y + 5, "text-anchor": "middle" }, shown(node.value)),
      h("text", { x, y: y + 22, "text-anchor": "middle", class: "slope" }, `∂ ${shown(node.derivative)}`));
  });
  svg.append(...lines, ...boxes);
  const choose = (chosen) => {
    const after = reached(chosen, edges, "tail", "head"), before = reached(last, edges, "head", "tail");
    boxes.forEach((box, i) => { box.setAttribute("aria-pressed", String(i === chosen)); box.classList.toggle("on", after.has(i) && before.has(i)); });
    lines.forEach((line, i) => line.classList.toggle("on", after.has(edges[i].tail) && before.has(edges[i].head)));
  };
  return { svg, choose };
}

/** The nodes that lie behind one along edges from `from` to `to`, itself among them. */
function reached(start, edges, from, to) {
  const known = new Set([start]), waiting = [start];
  while (waiting.length) {
    const node = waiting.pop();
    for (const edge of edges) if (edge[from] === node && !known.has(edge[to])) { known.add(edge[to]); waiting.push(edge[to]); }
  }
  return known;
}

function smooth(points) {
  const at = (p) => `${p.x.toFixed(1)} ${p.y.toFixed(1)}`;
  let d = `M${at(points[0])}`;
  for (let i = 1; i < points.length - 1; i++) d += `Q${at(points[i])} ${at(i === points.length - 2 ? points[i + 1] : { x: (points[i].x + points[i + 1].x) / 2, y: (points[i].y + points[i + 1].y) / 2 })}`;
  return points.length === 2 ? `${d}L${at(points[1])}` : d;
}

function arrow(from, to) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1, ux = (to.x - from.x) / length, uy = (to.y - from.y) / length;
  const corner = (side) => `${(to.x - 8 * ux + side * 4 * uy).toFixed(1)} ${(to.y - 8 * uy - side * 4 * ux).toFixed(1)}`;
  return `M${to.x.toFixed(1)} ${to.y.toFixed(1)}L${corner(1)}L${corner(-1)}Z`;
}
