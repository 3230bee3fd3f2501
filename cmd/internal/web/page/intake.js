// How files come in: dropped anywhere, chosen, pasted.
import { el } from "./dom.js";
import { bytes, counted, span } from "./units.js";

const filesMost = 100;
const deepest = 4; // folders in folders

// takeFiles watches the page for files and gives them to came; failed is told
// what could not be taken.
export function takeFiles({ came, failed }) {
  let inside = 0;
  const over = document.getElementById("over");
  const withFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const leave = () => {
    inside = 0;
    over.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!withFiles(event)) return;
    event.preventDefault();
    inside++;
    over.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (!withFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
  });
  addEventListener("dragleave", (event) => {
    if (withFiles(event) && --inside <= 0) leave();
  });
  addEventListener("drop", async (event) => {
    if (!withFiles(event)) return;
    event.preventDefault();
    leave();
    const files = await dropped(event.dataTransfer);
    if (files.length === 0) failed("there is no file in what was dropped", "drop a HAR, a pcap or a pcapng");
    else if (files.length > filesMost) failed(`${counted(files.length, "file")} are too many: ${filesMost} at once`, "drop the captures that belong together, and their key log");
    else came(files);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) {
      event.preventDefault();
      came(files);
      return;
    }
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text.trim() === "") return;
    event.preventDefault();
    came([new File([text], "pasted text")]);
  });
}

// dropped is the files of a drop, those in folders among them. Entries have to
// be asked for before anything is awaited: then they are gone.
async function dropped(transfer) {
  const entries = [...transfer.items].filter((i) => i.kind === "file").map((i) => i.webkitGetAsEntry?.() ?? null);
  if (entries.every((e) => !e?.isDirectory)) return [...transfer.files];
  const files = [];
  for (const entry of entries) if (entry) await walk(entry, files, 0);
  return files;
}

async function walk(entry, files, depth) {
  if (files.length > filesMost || depth > deepest) return;
  if (entry.isFile) {
    files.push(await new Promise((done, bad) => entry.file(done, bad)));
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, bad) => reader.readEntries(done, bad));
    if (some.length === 0) return;
    for (const e of some) await walk(e, files, depth + 1);
  }
}

// choose asks for files and gives them to came.
export function choose(came) {
  const input = document.getElementById("files");
  input.value = "";
  input.onchange = () => {
    if (input.files.length > 0) came([...input.files]);
  };
  input.click();
}

// reading makes what is seen while files are read: bytes, rate, cancel. It
// returns {node, progress}.
export function reading(what, size, cancel) {
  const bar = el("progress", { max: 1, "aria-label": "Read" });
  const told = el("p", { class: "told-progress" }, size ? `0 bytes of ${bytes(size)}` : "starting");
  const began = performance.now();
  let stage = "";
  let stageBegan = began;
  let next = 0;
  const progress = (p) => {
    const now = performance.now();
    if (p.stage !== stage) {
      stage = p.stage;
      stageBegan = now;
      next = 0;
    }
    if (now < next && p.done < p.total) return;
    next = now + 100;
    const rate = now - stageBegan > 300 ? p.done / ((now - stageBegan) / 1000) : 0;
    if (p.total > 0) bar.value = Math.min(1, p.done / p.total);
    else bar.removeAttribute("value");
    const words = [`${p.stage === "analysing" ? "Analysing" : "Reading"}: ${bytes(p.done)}${p.total > 0 ? ` of ${bytes(p.total)}` : ""}`];
    if (rate > 0) words.push(`${bytes(rate)}/s`);
    if (rate > 0 && p.total > p.done && now - stageBegan > 1500) words.push(`about ${span(((p.total - p.done) / rate) * 1000)} left`);
    told.textContent = words.join(" · ");
  };
  const node = el(
    "section",
    { class: "reading" },
    el("h1", { tabindex: -1, id: "answer" }, "Reading ", what),
    bar,
    told,
    el("p", { class: "acts" }, el("button", { type: "button", id: "cancel", onclick: cancel }, "Cancel")),
  );
  return { node, progress };
}
