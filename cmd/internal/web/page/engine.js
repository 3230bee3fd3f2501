// What the page knows of who reads the files. An engine is
//
//   { where: "server" | "browser",
//     async analyze(files, {progress, signal}) -> run   files: File[], in any order
//     async sample({progress, signal}) -> run            the built-in capture
//     async open(id) -> run | null }                     a run of before a reload; null: it is gone
//
//   progress({stage: "reading" | "analysing", done, total})   bytes
//
// and a run is
//
//   { id,                       for the URL; "": it does not survive a reload
//     view,                     the parsed JSON of report.NewView (Go): all sentences
//     report,                   what readReport returns
//     downloads: [{kind, label}],
//     async download(kind) -> {blob, name},
//     close() }                 the page is done with it
//
// Both fail with an EngineError.

export class EngineError extends Error {
  // message is one line for people; hint says what to do next, or is "".
  constructor(message, hint = "") {
    super(message);
    this.name = "EngineError";
    this.hint = hint;
  }
}

// documents is the formats that every engine can write, as they are offered and
// saved.
export const documents = [
  { kind: "html", label: "HTML report", name: "mcp401-report.html", type: "text/html" },
  { kind: "json", label: "JSON", name: "mcp401-report.json", type: "application/json" },
  { kind: "sarif", label: "SARIF", name: "mcp401-report.sarif", type: "application/sarif+json" },
  { kind: "markdown", label: "Markdown", name: "mcp401-report.md", type: "text/markdown" },
  { kind: "csv", label: "CSV", name: "mcp401-report.csv", type: "text/csv" },
  { kind: "junit", label: "JUnit XML", name: "mcp401-report.xml", type: "application/xml" },
];

const parseFor = 12; // milliseconds that lines are parsed before the page gets a turn

// readReport reads a report from the pieces of its JSON lines, strings or bytes
// of UTF-8, however they are cut, and lets the page breathe meanwhile. It returns
// {run, cases, findings, notes, summary}; findings is a Map from a case to its
// finding, which stands right behind it.
export async function readReport(pieces) {
  const report = { run: null, cases: [], findings: new Map(), notes: [], summary: null };
  const decoder = new TextDecoder();
  let rest = "";
  let since = performance.now();
  const line = (text) => {
    if (text.trim() === "") return;
    const o = JSON.parse(text);
    if (o.case) report.cases.push(o.case);
    else if (o.finding) report.findings.set(report.cases.at(-1), o.finding);
    else if (o.note) report.notes.push(o.note);
    else if (o.run) report.run = o.run;
    else if (o.summary) report.summary = o.summary;
  };
  const take = async (text) => {
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
      line(rest + text.slice(from, at));
      rest = "";
      from = at + 1;
      if (performance.now() - since > parseFor) {
        await breathe();
        since = performance.now();
      }
    }
    rest += text.slice(from);
  };
  for await (const piece of pieces) {
    await take(typeof piece === "string" ? piece : decoder.decode(piece, { stream: true }));
  }
  await take(decoder.decode());
  line(rest);
  if (!report.summary) throw new EngineError("the report ends before its summary", "read the file once more");
  return report;
}

// breathe lets the browser draw and take input.
function breathe() {
  const channel = new MessageChannel();
  return new Promise((done) => {
    channel.port1.onmessage = () => done();
    channel.port2.postMessage(null);
  });
}
