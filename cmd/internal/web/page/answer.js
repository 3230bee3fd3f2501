// What was found: the answer in words, why and what to do, the servers, the time
// line, the calls, what the file cannot show.
import { adviceOf } from "./advice.js";
import { callList } from "./calls.js";
import { clipped, el, name, sentenceOf } from "./dom.js";
import { timeline } from "./timeline.js";
import { counted, millis, number, span } from "./units.js";
import { tagOf, wordList } from "./words.js";

// answer makes the result of a run. It returns {node, list, ready, drop}.
export function answer({ run, place, wrote, addKeys, save }) {
  const { view, report } = run;
  let line = null;
  const list =
    report.cases.length > 0 ? callList({ report, view, place, wrote, moved: (call) => line?.mark(call?.time ?? null) }) : null;
  if (view.line && report.cases.length > 1) line = timeline(view.line, list.jump);
  const only = (text, show = "") => {
    list?.set(show, text);
    list?.node.scrollIntoView({ block: "start" });
  };
  const node = el(
    "div",
    { class: `result ${view.state}` },
    headline(view, report),
    view.state === "clear" || view.state === "blind" ? checked(view) : null,
    view.damaged && view.state !== "unreadable" ? damage(view) : null,
    view.causes.length ? causes(view, report, list, only) : null,
    view.servers.length ? servers(view, only) : null,
    line?.node,
    list?.node,
    lost(view, report, addKeys),
    take(run, save),
    wordList(idsOf(view, report), view),
  );
  // On paper every cause has its fix.
  const closed = new Set();
  const print = () => {
    for (const d of node.querySelectorAll("details.cause:not([open])")) closed.add(d);
    for (const d of closed) d.open = true;
  };
  const printed = () => {
    for (const d of closed) d.open = false;
    closed.clear();
  };
  addEventListener("beforeprint", print);
  addEventListener("afterprint", printed);
  const drop = () => {
    removeEventListener("beforeprint", print);
    removeEventListener("afterprint", printed);
    list?.drop();
  };
  return { node, list, ready: () => list?.ready(), drop };
}

// meta is what stands beside the name of the program: the file, its size in
// records and in time.
export function meta(run) {
  const { view } = run;
  const long = view.line ? millis(view.line.last) - millis(view.line.first) : 0;
  return [view.inputs ? [name(view.inputs, 80), " · "] : null, view.seen, long > 0 ? ` · ${span(long)} of calls` : null].flat(3).filter(Boolean);
}

function headline(view, report) {
  return el(
    "section",
    { class: "answer" },
    el("h1", { tabindex: -1, id: "answer" }, view.title, "."),
    el("p", { class: "lead" }, view.detail, view.certainty ? [" ", el("span", { class: "sure" }, view.certainty)] : null),
    view.state === "unreadable" ? el("p", { class: "same" }, "What was read: ", inputs(report), ".") : null,
  );
}

// checked is what the calls came to where nothing is wrong.
function checked(view) {
  return el("ul", { class: "checked" }, view.verdicts.map((v) => el("li", {}, el("b", {}, counted(v.count, "call")), ": ", v.meaning || v.id, " ", tagOf(v.id, "", view))));
}

function inputs(report) {
  const list = report.summary.inputs ?? report.run.inputs;
  return list.slice(0, 10).map((f, i) => [i ? ", " : "", name(f.name.split(/[\\/]/).at(-1), 80), ` (${f.kind}, ${counted(f.records, f.kind.startsWith("har") ? "entry" : "packet")})`]);
}

// damage says beside the answer that the file is not whole.
function damage(view) {
  return el("p", { class: "damaged" }, el("strong", {}, "Not all could be read"), ` (${view.lost}). What is said here rests on the rest; nothing is claimed of a call that is not whole.`);
}

const causesOpen = 3; // where there are no more causes; else the first is open

function causes(view, report, list, only) {
  const examples = new Set(view.causes.map((c) => c.frame));
  const hops = new Map(report.cases.filter((c) => examples.has(c.frame)).map((c) => [c.frame, c.upstream.length > 0]));
  return el(
    "section",
    { class: "causes" },
    el("h2", {}, "Why, and what to do"),
    view.causes.map((c, i) =>
      el(
        "details",
        { class: `cause ${c.severity}`, open: i === 0 || (view.causes.length <= causesOpen && c.fix !== view.causes[0].fix) },
        el(
          "summary",
          {},
          el("h3", {}, name(c.server, 60), c.meaning ? `: ${c.meaning}` : ""),
          el("span", { class: "short" }, el("b", {}, counted(c.count, "call")), c.verdict !== view.causes[0].verdict ? el("span", { class: "tag" }, c.verdict) : null, c.id ? el("span", { class: "tag" }, c.id) : null),
        ),
        el("p", {}, c.text),
        el(
          "p",
          { class: "tags" },
          tagOf(c.verdict, c.severity, view),
          tagOf(c.id, "", view),
          c.certainty ? el("span", { class: "sure" }, c.certainty) : null,
          c.unsure && c.unsure < c.count ? el("span", { class: "sure" }, `${c.unsure} not certain`) : null,
        ),
        adviceOf(c.fix, c.verify),
        list
          ? el(
              "p",
              { class: "see" },
              el("button", { type: "button", class: "link", onclick: () => list.openKey(String(c.frame)) }, `${hops.get(c.frame) ? "See both hops" : "See the call"} of ${view.unit} ${c.frame}`),
              c.count > 1 ? el("button", { type: "button", class: "link", onclick: () => only([quoted(c.server), c.id, c.verdict].filter(Boolean).join(" ")) }, `Show the ${counted(c.count, "call")}`) : null,
            )
          : null,
      ),
    ),
    view.causes_left ? el("p", { class: "left" }, `${counted(view.causes_left, "more cause")} left out here; the JSON has all.`) : null,
  );
}

// quoted is a name for the filter, whose words are apart by spaces.
function quoted(text) {
  return text.split(/\s+/)[0].replace(/…$/, "");
}

function servers(view, only) {
  const rows = view.servers.map((s) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", title: "Show its calls", onclick: () => only(quoted(s.name)) }, name(s.name, 60))),
      [s.calls, s.fine, s.hidden, s.failed].map((n, i) => el("td", { class: `r ${i === 2 && n ? "hid" : ""}`.trim() }, i === 0 || n ? number(n) : "-")),
      el("td", {}, s.cause ? tagOf(s.cause, "", view) : "-"),
    ),
  );
  const heads = ["server", "calls", "fine", "hidden", "other", "last cause"].map((h, i) => el("th", { scope: "col", class: i > 0 && i < 5 ? "r" : null }, h));
  return el(
    "section",
    {},
    el("h2", {}, "Servers"),
    el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Servers" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))),
    el("p", { class: "same" }, view.servers_key),
  );
}

function lost(view, report, addKeys) {
  const keyless = (report.summary?.lost?.undecrypted_flows ?? 0) > 0;
  return el(
    "section",
    {},
    el("h2", {}, "What this file cannot show"),
    el("p", {}, sentenceOf(view.lost)),
    view.notes.length
      ? el("ul", {}, view.notes.map((n) => el("li", {}, `${number(n.count)}x `, name(n.text, 400), " ", el("span", { class: "tag" }, clipped(n.code, 80)), n.frame ? ` (first at ${view.unit} ${n.frame})` : "", n.about ? [" ", name(n.about, 80)] : null)))
      : null,
    view.notes_left ? el("p", { class: "left" }, `${counted(view.notes_left, "more kind")} of notes: see the JSON.`) : null,
    keyless && addKeys ? el("p", { class: "acts" }, el("button", { type: "button", onclick: addKeys }, "Add the TLS key log"), el("span", { class: "same" }, " The file that SSLKEYLOGFILE names; it is read together with this one.")) : null,
  );
}

function take(run, save) {
  if (!run.downloads.length) return null;
  return el(
    "section",
    { class: "take" },
    el("h2", {}, "Download"),
    el("p", { class: "acts" }, run.downloads.map((d) => el("button", { type: "button", "data-kind": d.kind, onclick: (event) => save(d, event.currentTarget) }, d.label))),
    el("p", { class: "same" }, "Secrets are in none of these: credentials stand for themselves by kind and a keyed hash."),
  );
}

// idsOf is the verdicts and causes that the page names.
function idsOf(view, report) {
  const ids = new Set([...view.verdicts.map((v) => v.id), ...view.causes.map((c) => c.id)]);
  for (const c of report.cases) if (c.cause) ids.add(c.cause);
  return [...ids];
}
