// The page: one engine, one run at a time.
import { answer, meta } from "./answer.js";
import { announce, el, name, sentenceOf } from "./dom.js";
import { EngineError } from "./engine.js";
import { choose, reading, takeFiles } from "./intake.js";
import { watchKeys } from "./keys.js";
import { readPlace, writePlace } from "./place.js";
import { themeButton } from "./theme.js";
import { counted } from "./units.js";
import { showWord } from "./words.js";

// start runs the page with an engine (engine.js).
export function start(engine) {
  const main = document.getElementById("main");
  const drop = document.getElementById("drop");
  const what = document.getElementById("what");
  const where = document.getElementById("where");
  let shown = null; // {run, result, files}
  let busy = null; // AbortController of the analysis under way

  where.textContent = engine.where === "server" ? "Read on this machine by mcp401; nothing is sent anywhere." : "Read in this browser; the file goes nowhere.";

  // work runs one analysis and shows what came of it.
  async function work(label, size, files, ask) {
    stop();
    const mine = (busy = new AbortController());
    const view = reading(label, size, () => stop(true));
    put(view.node);
    what.replaceChildren();
    document.title = "Reading · mcp401";
    try {
      const run = await ask({ progress: (p) => mine === busy && view.progress(p), signal: mine.signal });
      if (mine !== busy) {
        run.close();
        return;
      }
      busy = null;
      writePlace({ run: run.id });
      show(run, files);
    } catch (error) {
      if (mine !== busy) return; // cancelled
      busy = null;
      fail(error.message, error instanceof EngineError ? error.hint : "", files);
      if (!(error instanceof EngineError)) console.error(error);
    }
  }

  // stop ends what is under way and puts away what is shown.
  function stop(cancelled = false) {
    busy?.abort();
    busy = null;
    putAway();
    if (cancelled) {
      empty();
      announce("Cancelled");
    }
  }

  function putAway() {
    shown?.result.drop();
    shown?.run.close();
    shown = null;
  }

  function put(...nodes) {
    main.replaceChildren(...nodes);
    scrollTo(0, 0);
  }

  function show(run, files) {
    const result = answer({
      run,
      place: readPlace(),
      wrote: writePlace,
      addKeys: files && (() => choose((more) => analyze([...files, ...more]))),
      save: (download, button) => save(run, download, button),
    });
    shown = { run, result, files };
    put(result.node);
    what.replaceChildren(...meta(run));
    document.title = `${run.view.title} · mcp401`;
    result.ready();
    if (!readPlace().call) document.getElementById("answer").focus({ preventScroll: true });
  }

  function empty(...before) {
    what.replaceChildren();
    document.title = "mcp401";
    writePlace({ run: "", call: "", show: "", filter: "" });
    put(...before, drop);
  }

  function fail(message, hint, files) {
    const list = files?.length > 1 || (files && !message.includes(files[0].name)) ? el("p", { class: "same" }, "It was: ", files.slice(0, 5).map((f, i) => [i ? ", " : "", name(f.name, 80)]), files.length > 5 ? ` and ${files.length - 5} more` : "") : null;
    empty(
      el("section", { class: "failed", role: "alert" }, el("h1", { tabindex: -1, id: "answer" }, sentenceOf(message)), hint ? el("p", { class: "lead" }, sentenceOf(hint)) : null, list),
    );
    document.getElementById("answer").focus({ preventScroll: true });
  }

  // elsewhere leaves the place of what is shown. Where nothing is, the place was
  // there before a reload, and what comes next may be the same file again.
  function elsewhere() {
    writePlace(shown ? { run: "", call: "", show: "", filter: "" } : { run: "" });
  }

  function analyze(files) {
    const size = files.reduce((n, f) => n + f.size, 0);
    elsewhere();
    return work(files.length === 1 ? name(files[0].name, 80) : counted(files.length, "file"), size, files, (options) => engine.analyze(files, options));
  }

  function sample() {
    elsewhere();
    return work("the sample", 0, null, (options) => engine.sample(options));
  }

  async function save(run, download, button) {
    button.disabled = true;
    try {
      const { blob, name: file } = await run.download(download.kind);
      const url = URL.createObjectURL(blob);
      el("a", { href: url, download: file }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      announce(`Saved ${file}`);
    } catch (error) {
      button.after(el("span", { class: "same", role: "alert" }, ` ${sentenceOf(error.message)} ${error.hint ? sentenceOf(error.hint) : ""}`));
    } finally {
      button.disabled = false;
    }
  }

  async function reopen() {
    const { run: id } = readPlace();
    if (!id) return;
    try {
      const run = await engine.open(id);
      if (run) {
        show(run, null);
        return;
      }
      fail("That result is gone", "results are kept while mcp401 runs, the newest ones; drop the file again");
    } catch (error) {
      fail(error.message, error instanceof EngineError ? error.hint : "");
    }
  }

  const open = () => choose(analyze);
  for (const button of document.querySelectorAll("[data-do=open]")) button.addEventListener("click", open);
  for (const button of document.querySelectorAll("[data-do=sample]")) button.addEventListener("click", sample);
  drop.addEventListener("click", (event) => {
    if (!event.target.closest("button, a, summary, details")) open();
  });
  takeFiles({ came: analyze, failed: (message, hint) => (stop(), fail(message, hint)) });
  themeButton(document.getElementById("theme"));
  watchKeys({ open, list: () => shown?.result.list ?? null, cancel: () => busy && stop(true) });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-word], a.skip");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault(); // the fragment is the reader's place
    if (link.dataset.word) showWord(link.dataset.word);
    else main.querySelector("h1").focus();
  });
  addEventListener("popstate", () => {
    const place = readPlace();
    if (shown && place.run === shown.run.id) shown.result.list?.apply(place);
    else if (place.run) reopen();
  });
  reopen();
}
