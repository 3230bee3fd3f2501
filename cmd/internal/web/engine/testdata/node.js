// Runs tasks of the engine in Node, with the page's own worker.js, which finds
// here what a browser's worker has. Arguments: wasm_exec.js, worker.js, the
// module. Standard input: [{task, paths, version}]. Standard output: a line of JSON for each task.
const fs = require("node:fs");
const vm = require("node:vm");

class PathFile {
  constructor(path, from = 0, to = fs.statSync(path).size) {
    Object.assign(this, { path, from, to, name: path.split("/").at(-1), size: to - from });
  }
  slice(from, to) {
    return new PathFile(this.path, Math.min(this.from + from, this.to), Math.min(this.from + to, this.to));
  }
}

globalThis.FileReaderSync = class {
  readAsArrayBuffer({ path, from, to }) {
    const b = new Uint8Array(to - from);
    const fd = fs.openSync(path);
    const n = fs.readSync(fd, b, 0, b.length, from);
    fs.closeSync(fd);
    return b.buffer.slice(0, n);
  }
};
globalThis.onmessage = null;
let take;
globalThis.postMessage = (m) => take(m);

const [support, worker, wasm] = process.argv.slice(2);
vm.runInThisContext(fs.readFileSync(support, "utf8"));
vm.runInThisContext(fs.readFileSync(worker, "utf8"));

(async () => {
  const module = new WebAssembly.Module(fs.readFileSync(wasm));
  for (const { paths, ...task } of JSON.parse(fs.readFileSync(0, "utf8"))) {
    const got = { report: "", view: "", failed: null, progress: [], done: false };
    const text = { report: new TextDecoder(), view: new TextDecoder() };
    take = (m) => {
      if (m.progress) got.progress.push(m.progress);
      if (m.failed) got.failed = m.failed;
      if (m.done) got.done = true;
      for (const k of ["report", "view"]) if (m[k]) got[k] += text[k].decode(m[k], { stream: true });
    };
    await onmessage({ data: { module, files: paths.map((p) => new PathFile(p)), ...task } });
    console.log(JSON.stringify(got));
  }
})();
