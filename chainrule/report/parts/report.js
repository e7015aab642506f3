"use strict";
(() => {
  const pointer = (svg, event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [at.x, at.y];
  };
  const nearest = (places, x) => {
    let best = 0;
    for (let i = 1; i < places.length; i++) if (Math.abs(places[i] - x) < Math.abs(places[best] - x)) best = i;
    return best;
  };
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);

  for (const svg of document.querySelectorAll("svg.curve")) {
    const points = JSON.parse(svg.dataset.points), cross = svg.querySelector(".cross"), read = svg.parentNode.querySelector(".read");
    if (!points.length) continue;
    let at = points.length - 1;
    const show = (i) => {
      at = clamp(i, points.length - 1);
      cross.setAttribute("x1", points[at][0]);
      cross.setAttribute("x2", points[at][0]);
      read.textContent = points[at][1];
    };
    svg.addEventListener("pointermove", (event) => show(nearest(points.map((p) => p[0]), pointer(svg, event)[0])));
    svg.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (step) { show(at + step); event.preventDefault(); }
    });
  }

  for (const svg of document.querySelectorAll("svg.layers")) {
    const flow = JSON.parse(svg.dataset.flow), cursor = svg.querySelector(".cursor"), box = svg.querySelector(".row");
    const profile = svg.querySelector(".profile"), read = svg.closest("figure").querySelector(".read");
    let look = flow.steps.length - 1, layer = 0;
    const number = (packed) => flow.log ? 10 ** (packed / 100) : packed / 1000;
    const words = (packed) => {
      if (packed === null) return "not read";
      if (packed === "n") return "not finite";
      if (packed === "z") return "0";
      return flow.log ? number(packed).toExponential(1) : (100 * number(packed)).toPrecision(3) + " %";
    };
    const place = (packed) => {
      const level = flow.log ? packed / 100 : packed / 1000;
      return 586 + 150 * Math.min(Math.max((level - flow.scale[0]) / (flow.scale[1] - flow.scale[0]), 0), 1);
    };
    const show = (i, j) => {
      look = clamp(i, flow.steps.length - 1);
      layer = clamp(j, flow.layers.length - 1);
      cursor.setAttribute("x1", flow.x[look]);
      cursor.setAttribute("x2", flow.x[look]);
      box.setAttribute("y", flow.top + layer * flow.row);
      const points = [];
      flow.values.forEach((row, k) => { if (typeof row[look] === "number") points.push(place(row[look]) + "," + (flow.top + (k + 0.5) * flow.row)); });
      profile.setAttribute("points", points.join(" "));
      read.textContent = flow.layers[layer] + ", step " + flow.steps[look].toLocaleString("en") + ": " + words(flow.values[layer][look])
        + " (on the right: step " + flow.steps[look].toLocaleString("en") + ")";
    };
    const open = () => {
      for (const one of document.querySelectorAll("details.histogram")) {
        if (one.dataset.layer === flow.layers[layer]) { one.open = true; one.scrollIntoView({block: "center"}); }
      }
    };
    const at = (event) => {
      const [x, y] = pointer(svg, event);
      show(nearest(flow.x, x), Math.floor((y - flow.top) / flow.row));
    };
    svg.addEventListener("pointermove", at);
    svg.addEventListener("click", (event) => { at(event); open(); });
    svg.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
      if (step) { show(look + step[0], layer + step[1]); event.preventDefault(); }
      if (event.key === "Enter") open();
    });
  }
})();
