// Dream: samples of a net that generates, under a class that is held fast where it knows classes.

import * as api from "../api.mjs";
import { fill, h, pixels, shown, table } from "../dom.mjs";
import { remember } from "../state.mjs";

export async function open(main, values, online) {
  const run = values.run, box = h("div", {}), said = h("p", { class: "hint", role: "status" });
  const given = h("select", { "aria-label": "Class", onchange: () => { remember({ given: given.value }); ask(); } }), seed = h("input", { type: "number", min: 0, step: 1, value: values.seed ?? 0, "aria-label": "Seed", onchange: () => { remember({ seed: seed.value }); ask(); } });
  const classes = h("label", { hidden: true }, "Class ", given);
  main.append(h("h1", {}, "Dream"), h("p", { class: "quiet" }, "What ", h("a", { href: `#run?${new URLSearchParams({ run })}` }, run), " makes of itself. The same seed gives the same samples."),
    h("div", { class: "row" }, classes, h("label", {}, "Seed ", seed), h("button", { class: "first", onclick: () => { seed.value = Number(seed.value) + 1; remember({ seed: seed.value }); ask(); } }, "Dream again")), said, h("section", {}, box));

  async function ask() {
    said.textContent = "Dreaming …";
    try {
      const result = await api.ask("dream", run, { n: 16, seed: Math.max(0, Math.trunc(Number(seed.value)) || 0), given: given.value || values.given || null });
      online(true);
      classes.hidden = !result.classes.length;
      if (given.options.length !== result.classes.length + 1) fill(given, h("option", { value: "" }, "any"), result.classes.map((name) => h("option", { value: name, selected: name === values.given }, name)));
      said.textContent = result.notes.join(" ");
      const scale = result.pictures ? Math.max(1, Math.floor(112 / result.pictures[0].w)) : 1;
      fill(box, result.pictures ? h("div", { class: "strip" }, result.pictures.map((one, i) => pixels(one, { label: `Sample ${i + 1}${result.given ? `, asked for ${result.given}` : ""}`, scale })))
        : result.texts ? result.texts.map((text) => h("pre", {}, h("code", {}, text)))
          : Object.keys(result.columns ?? {}).length ? table(["sample", ...Object.keys(result.columns)], result.columns[Object.keys(result.columns)[0]].map((_, i) => [String(i + 1), ...Object.values(result.columns).map((column) => column[i])]), "Samples")
            : table(["sample", "numbers"], result.rows.map((row, i) => [String(i + 1), row.map((v) => shown(v)).join("  ")]), "Samples"));
    } catch (error) { said.textContent = error.message; fill(box); }
  }
  await ask();
  return null;
}
