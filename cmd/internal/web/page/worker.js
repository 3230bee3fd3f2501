// The worker of the page in one file: it runs the engine, a Go program compiled
// to WebAssembly, for one task, and is ended by who started it. It comes behind
// Go's wasm_exec.js, which defines Go, in one classic script.
"use strict";

onmessage = async ({ data }) => {
  const { module, what, format, version, files } = data;
  const reader = new FileReaderSync();
  let ended = false;
  const fail = (text, hint) => {
    ended = true;
    postMessage({ failed: { text, hint } });
  };
  // What the engine sees of the world, see its package comment.
  globalThis.mcp401 = {
    what,
    format,
    version,
    files: files.map(({ name, size }) => ({ name, size })),
    read: (file, offset, length) => new Uint8Array(reader.readAsArrayBuffer(files[file].slice(offset, offset + length))),
    progress: (done, total) => postMessage({ progress: { done, total } }),
    report: (piece) => postMessage({ report: piece }, [piece.buffer]),
    view: (piece) => postMessage({ view: piece }, [piece.buffer]),
    fail,
    done() {
      ended = true;
      postMessage({ done: true });
    },
  };
  const command = "the command line has more room: mcp401 analyze FILE";
  try {
    const go = new Go();
    await go.run(await WebAssembly.instantiate(module, go.importObject));
    if (!ended) fail("the engine broke off; the console of the developer tools has its last words", command);
  } catch (err) {
    if (!ended) fail(`the engine cannot run here: ${err.message}`, command);
  }
};
