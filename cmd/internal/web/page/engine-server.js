// The engine of `mcp401 serve`: files go to the server that this page came
// from, and nowhere else. Its shape is that of every engine; main.js knows no
// more of it.

import { documents, EngineError, readReport } from "./engine.js";

// How long to wait before asking again how far an analysis is, in ms: short at
// first, because most files are small.
const firstWait = 50;
const longestWait = 500;

const aborted = () => new DOMException("ended by the user", "AbortError");

const gone = () => new EngineError("mcp401 serve does not answer", "it was ended, or its machine sleeps: start it again and open the address that it prints");

// Turns the text of an answer with an error status into an error.
function refusal(status, text) {
  try {
    const { error } = JSON.parse(text);
    return new EngineError(error.text, error.hint);
  } catch {
    return new EngineError(`the server answered ${status}`, "");
  }
}

// Asks the server; resolves to its answer if that is no error.
async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch (err) {
    if (err.name === "AbortError") throw aborted();
    throw gone();
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text());
  return answer;
}

// Sends files with progress, which fetch does not have; resolves to the run's id.
function send(files, progress, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted());
    const form = new FormData();
    for (const f of files) form.append("file", f, f.name);
    const x = new XMLHttpRequest();
    const abort = () => x.abort();
    signal?.addEventListener("abort", abort);
    x.upload.onprogress = (e) => progress?.({ stage: "reading", done: e.loaded, total: e.lengthComputable ? e.total : 0 });
    x.onload = () => (x.status === 201 ? resolve(JSON.parse(x.responseText).id) : reject(refusal(x.status, x.responseText)));
    x.onerror = () => reject(gone());
    x.onabort = () => reject(aborted());
    x.onloadend = () => signal?.removeEventListener("abort", abort);
    x.open("POST", "/api/runs");
    x.send(form);
  });
}

// Refuses what the server would refuse, before anything is sent.
async function fits(files, signal) {
  const limits = await (await ask("/api/limits", { signal })).json();
  const total = files.reduce((n, f) => n + f.size, 0);
  if (files.length > limits.files) {
    throw new EngineError(`${files.length} files are more than the ${limits.files} that are taken at once`, "join them first: mergecap -w all.pcapng FILES");
  }
  if (total > limits.bytes) {
    const gib = (n) => `${(n / 2 ** 30).toFixed(1)} GiB`;
    throw new EngineError(`${gib(total)} are more than the ${gib(limits.bytes)} that are taken at once`, "mcp401 analyze FILE has no such bound; mcp401 serve --max-upload raises this one");
  }
}

function wait(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(aborted());
    const stop = () => {
      clearTimeout(timer);
      reject(aborted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

// Waits for the end of an analysis; resolves to its last state.
async function finished(id, progress, signal) {
  for (let ms = firstWait; ; ms = Math.min(ms * 1.5, longestWait)) {
    const state = await (await ask(`/api/runs/${id}`, { signal })).json();
    if (state.state === "failed") throw new EngineError(state.error.text, state.error.hint);
    if (state.state === "done") return state;
    progress?.({ stage: "analysing", done: state.done, total: state.total });
    await wait(ms, signal);
  }
}

const remove = (id) => fetch(`/api/runs/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});

// The body of an answer as it comes.
async function* pieces(answer) {
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

// The run of an id, when it is done.
async function run(id, progress, signal) {
  const state = await finished(id, progress, signal);
  const view = await (await ask(`/api/runs/${id}/view.json`, { signal })).json();
  const report = await readReport(pieces(await ask(`/api/runs/${id}/report.jsonl`, { signal })));
  const offered = documents.map((d) => ({ ...d, file: d.name.replace("mcp401-", "") }));
  if (state.redacted) offered.push({ kind: "redacted", label: "Capture without secrets", file: "redacted", name: state.redacted });
  return {
    id,
    view,
    report,
    downloads: offered.map(({ kind, label }) => ({ kind, label })),
    async download(kind) {
      const d = offered.find((o) => o.kind === kind);
      const answer = await ask(`/api/runs/${id}/${d.file}`);
      return { blob: await answer.blob(), name: d.name };
    },
    close() {}, // the Back button may ask for it again; the server forgets the oldest by itself
  };
}

// The same, but a run that fails or is ended is forgotten by the server too.
async function fresh(id, progress, signal) {
  try {
    return await run(id, progress, signal);
  } catch (err) {
    remove(id);
    throw err;
  }
}

export const engine = {
  where: "server",
  async analyze(files, { progress, signal } = {}) {
    await fits(files, signal);
    return fresh(await send(files, progress, signal), progress, signal);
  },

  async sample({ progress, signal } = {}) {
    const answer = await ask("/api/runs?sample=1", { method: "POST", signal });
    return fresh((await answer.json()).id, progress, signal);
  },

  async open(id) {
    // The id comes from the address bar.
    if (!/^[A-Z2-7]{26}$/.test(id)) return null;
    const answer = await fetch(`/api/runs/${id}`, { cache: "no-store" }).catch(() => null);
    if (!answer) throw gone();
    if (answer.status === 404) return null;
    return run(id);
  },
};
