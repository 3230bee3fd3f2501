// The engine of the page in one file: Go compiled to WebAssembly, in a worker of
// this page. Files are read where they are and go nowhere. `mcp401 page` puts
// the module and the worker's script into the page as text.
import { documents, EngineError, readReport } from "./engine.js";

const version = document.documentElement.dataset.version;

let compiled = null; // a promise of the module

// The engine's module: unpacked and compiled once, at the first call.
function engineModule() {
  compiled ??= compile(document.getElementById("engine-module").textContent).catch((err) => {
    compiled = null;
    throw new EngineError(`this browser cannot run the engine: ${err.message}`, "take a browser of 2023 or later that allows WebAssembly, or the command line: mcp401 analyze FILE");
  });
  return compiled;
}

async function compile(base64) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < packed.length; i++) packed[i] = text.charCodeAt(i);
  const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return WebAssembly.compileStreaming(new Response(plain, { headers: { "Content-Type": "application/wasm" } }));
}

let script = null; // the URL of the worker's script

function startWorker() {
  if (!script) {
    const url = URL.createObjectURL(new Blob([document.getElementById("engine-worker").textContent], { type: "text/javascript" }));
    // The policy of the page wants it said that this text is no one else's.
    const policy = globalThis.trustedTypes?.createPolicy("mcp401-worker", { createScriptURL: () => url });
    script = policy ? policy.createScriptURL("") : url;
  }
  return new Worker(script);
}

// Runs the engine for one task; resolves to the pieces of bytes that it gives.
async function work(task, progress, signal) {
  const aborted = () => new DOMException("ended by the user", "AbortError");
  const module = await engineModule();
  if (signal?.aborted) throw aborted();
  const worker = startWorker();
  const end = new AbortController();
  try {
    return await new Promise((resolve, reject) => {
      const got = { report: [], view: [] };
      const on = { signal: end.signal };
      signal?.addEventListener("abort", () => reject(aborted()), on);
      worker.addEventListener("error", (e) => reject(new EngineError(`the engine broke off: ${e.message ?? "its worker does not start"}`, "mcp401 analyze FILE does the same")), on);
      worker.addEventListener("message", ({ data }) => {
        if (data.progress) progress?.({ stage: "reading", ...data.progress });
        else if (data.report) got.report.push(data.report);
        else if (data.view) got.view.push(data.view);
        else if (data.failed) reject(new EngineError(data.failed.text, data.failed.hint));
        else if (data.done) resolve(got);
      }, on);
      worker.postMessage({ module, version, ...task });
    });
  } finally {
    // Ends a task that was given up, and gives back the memory of any.
    end.abort();
    worker.terminate();
  }
}

async function run(task, { progress, signal } = {}) {
  const { report, view } = await work(task, progress, signal);
  const lines = new Blob(report); // the browser may keep it on the disk
  return {
    id: "",
    view: JSON.parse(await new Blob(view).text()),
    report: await readReport(report),
    downloads: documents.map(({ kind, label }) => ({ kind, label })),
    async download(kind) {
      const { name, type } = documents.find((f) => f.kind === kind);
      const made = await work({ what: "write", format: kind, files: [lines] });
      return { blob: new Blob(made.report, { type }), name };
    },
    close() {},
  };
}

export const engine = {
  where: "browser",
  analyze: (files, how) => run({ what: "analyze", files: [...files] }, how),
  sample: (how) => run({ what: "sample", files: [] }, how),
  open: async () => null,
};

// Compiling takes a second; a person takes longer to find a file.
setTimeout(() => engineModule().catch(() => {}), 0);
