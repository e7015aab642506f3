// What the address says, and how it is changed without a new view.

/** The view that the address names, and its values. */
export function address() {
  const [view, query = ""] = location.hash.slice(1).split("?");
  return { view: decodeURIComponent(view), values: Object.fromEntries(new URLSearchParams(query)) };
}

let timer = 0;
/** Put values into the address, in place of what it said of them; those that are empty are left out. */
export function remember(changes) {
  const { view, values } = address();
  const next = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...values, ...changes })) if (value !== null && value !== undefined && value !== "") next.set(name, value);
  clearTimeout(timer);
  const hash = `#${view}?${next}`;
  timer = setTimeout(() => { if (address().view === view) history.replaceState(null, "", hash); }, 150);
}
