// Questions to the server of this page.

async function reply(response) {
  if (response.status === 401) throw new Error("The server has been started anew. Open the address that it printed.");
  if (response.status === 404) throw new Error("That is not there any more.");
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error || `The server answered with ${response.status}.`);
  return body;
}

export const get = async (path) => reply(await fetch(path, { credentials: "same-origin" }));
export const post = async (path, body) => reply(await fetch(path, {
  method: "POST", credentials: "same-origin", headers: { "content-type": "application/json" }, body: JSON.stringify(body) }));

export const runs = () => get("/api/runs");
export const record = (run) => get(`/api/record?${new URLSearchParams({ run })}`);
export const ask = (about, run, more = {}) => post("/api/ask", { about, run, ...more });
export const command = (run, word, value = 0) => post("/api/command", { run, command: word, value });
export const compare = (names) => post("/api/compare", { runs: names });
export const chain = (question) => post("/api/chain", question);
export const play = (options) => post("/api/play", options);

/** Follow the logs of runs: `onrecords(number, events, anew)`, `oncurrent()` once all that is there has come. Returns what ends it. */
export function follow(names, onrecords, oncurrent, online) {
  let source = null, place = "", ended = false, timer = 0;
  const open = () => {
    const query = new URLSearchParams(names.map((name) => ["run", name]));
    if (place) query.append("place", place);
    source = new EventSource(`/api/log?${query}`);
    source.onopen = () => online(true);
    const take = (anew) => (message) => {
      place = message.lastEventId || place;
      const lines = message.data.split("\n");
      onrecords(Number(lines[0]), lines.slice(1).map((line) => JSON.parse(line)), anew);
    };
    source.addEventListener("records", take(false));
    source.addEventListener("anew", take(true));
    source.addEventListener("current", () => oncurrent());
    source.onerror = () => {
      online(false);
      if (source.readyState !== EventSource.CLOSED || ended) return;
      clearTimeout(timer);
      timer = setTimeout(open, 2000);                       // it goes on from the place that it had
    };
  };
  open();
  return () => { ended = true; clearTimeout(timer); source.close(); };
}
