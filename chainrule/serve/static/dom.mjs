// Elements made of data: text is always text, so that no name from a file becomes markup.

const SVG = "http://www.w3.org/2000/svg";
const SHAPES = new Set(["svg", "g", "path", "rect", "circle", "line", "text", "title", "polyline"]);

/** An element with attributes, listeners (`onclick`) and children: elements, texts, numbers, lists; null is left out. */
export function h(tag, attributes, ...children) {
  const drawn = SHAPES.has(tag) && !(attributes && attributes.html);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false || name === "html") continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, children);
  return element;
}

function put(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  put(element, children);
  return element;
}

/** A number with as many digits as a reader can use. */
export function shown(value, perCent = false) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return String(value);
  if (perCent) return `${(100 * value).toFixed(2)} %`;
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -4 || size > 6) return value.toExponential(2);
  return value.toLocaleString("en", { maximumFractionDigits: Math.max(0, 3 - size) });
}

const SHARES = new Set(["accuracy", "balanced_accuracy", "recall", "precision", "f1", "macro_f1", "roc_auc", "exact", "iou", "coverage"]);
export const isShare = (name) => SHARES.has(name);
export const measure = (name, value) => shown(value, isShare(name));
export const words = (name) => name.replaceAll("_", " ");

/** A table of texts and numbers under a caption. */
export function table(heads, rows, caption) {
  const isNumber = (cell) => typeof cell === "number" || (typeof cell === "string" && /^-?[\d.,]+( %)?$/.test(cell));
  return h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: "quiet small" }, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((cell, i) => i === 0 ? h("th", { scope: "row" }, cell)
        : h("td", { class: isNumber(cell) ? "number" : null }, typeof cell === "number" ? shown(cell) : cell)))))));
}

/** What a chart shows as a table that is made when it is opened. */
export function asTable(title, make) {
  const details = h("details", {}, h("summary", {}, title));
  details.addEventListener("toggle", () => {
    details.querySelector(".wide")?.remove();
    if (details.open) details.append(make());
  });
  return details;
}

/** The colour that a variable of the style sheet has now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Draw packed pixels (one or three channels) on a canvas of their own size; `about` zero in two hues where `signed`. */
export function pixels(packed, { signed = false, label = "", scale = 1 } = {}) {
  const { w, h: high, c } = packed;
  const bytes = Uint8Array.from(atob(packed.data), (letter) => letter.charCodeAt(0));
  const canvas = h("canvas", { class: "pixels", width: w, height: high, ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) });
  if (scale !== 1) { canvas.style.width = `${w * scale}px`; canvas.style.height = `${high * scale}px`; }
  const context = canvas.getContext("2d");
  const image = context.createImageData(w, high);
  for (let i = 0; i < w * high; i++) {
    let rgb;
    if (signed) rgb = diverging((bytes[i] - 128) / 127);
    else if (c === 3) rgb = [bytes[i], bytes[w * high + i], bytes[2 * w * high + i]];
    else rgb = [bytes[i], bytes[i], bytes[i]];
    image.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

const BELOW = [194, 98, 30], ABOVE = [36, 99, 190];
/** Orange below zero, blue above, the paper between. */
export function diverging(share) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const middle = dark ? [29, 32, 36] : [247, 247, 245];
  const end = share < 0 ? BELOW : ABOVE, t = Math.min(1, Math.abs(share));
  return middle.map((m, i) => Math.round(m + (end[i] - m) * t));
}

/** The colours of classes, or of runs: apart for most eyes, and on both papers. */
export const HUES = ["#2b6cc4", "#d1701e", "#2a9162", "#b0409c", "#8a6d1d", "#5a62d6", "#c23b4e", "#2193a0", "#7a7f87", "#9a5cc0"];
export const hue = (i) => HUES[i % HUES.length];
