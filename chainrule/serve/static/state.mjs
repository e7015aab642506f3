// What the address says, and how it is changed without a new view.

/** The view that the address names, and its values. */
export function address() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { view: decodeURIComponent(view), values: Object.fromEntries(new URLSearchParams(query)) };
}

let timer = 0, waiting = { view: "", changes: {} };
/** Put values into the address, in place of what it said of them; those that are empty are left out. */
export function remember(changes) {
  const { view } = address();
  waiting = { view, changes: { ...(waiting.view === view ? waiting.changes : {}), ...changes } };
  clearTimeout(timer);
  timer = setTimeout(() => {
    const now = address(), next = new URLSearchParams(), { changes: several } = waiting;
    waiting = { view: "", changes: {} };
    if (now.view !== view) return;
    for (const [name, value] of Object.entries({ ...now.values, ...several })) if (value !== null && value !== undefined && value !== "") next.set(name, value);
    history.replaceState(null, "", `#${view}?${next}`);
  }, 150);
}
