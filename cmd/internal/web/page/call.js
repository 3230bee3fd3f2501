// A call, opened: what happened, the two hops drawn and in words, why they belong
// together, where it is in the file.
import { adviceOf } from "./advice.js";
import { diagram } from "./diagram.js";
import { clipped, copier, el, name } from "./dom.js";
import { sentence, serverOf, stepsOf, wireshark } from "./steps.js";
import { absolute, counted, elapsed } from "./units.js";
import { certain, tagOf } from "./words.js";

const textMost = 400; // characters of any text of the capture

// openedCall makes the panel of a call.
export function openedCall({ call, finding, view, close }) {
  const { list, left } = stepsOf(call, finding);
  const words = list.map((s) => clipped(sentence(s, view.unit), textMost));
  if (left > 0) words.push(`${counted(left, "upstream attempt")} more: see the JSON`);
  const happened = clipped(finding?.text || view.words[call.verdict]?.meaning || call.verdict, textMost);
  const link = () => location.href;
  const asText = () =>
    [happened, `${call.client} asked ${call.gateway} at ${call.time ?? "an unknown time"}`, ...list.map((s, i) => `${s.time ? `${s.time} ` : ""}${words[i]}`)].join("\n");
  const filter = view.unit === "frame" ? wireshark(list) : "";
  return el(
    "div",
    { class: "panel" },
    el("h3", { class: "happened" }, happened),
    el("p", { class: "tags" }, tagOf(call.verdict, call.severity, view), tagOf(call.cause || call.failure, "", view), certain(call.confidence)),
    el("p", { class: "same" }, call.client ? name(call.client) : "a client", " asked ", name(call.gateway), call.time ? ` at ${absolute(call.time)}` : ""),
    diagram(call, list),
    el("p", { class: "same" }, "The same in words:"),
    el("ol", {}, words.map((w) => el("li", {}, w))),
    finding && finding.severity !== "ok" ? adviceOf(clipped(finding.fix, 2 * textMost), clipped(finding.verify, 4 * textMost)) : null,
    together(call, view),
    filter && el("div", { class: "do" }, el("h4", {}, "Wireshark"), el("div", { class: "copied" }, el("pre", {}, el("code", {}, filter)), copier(filter, "the Wireshark filter"))),
    evidence(call, finding, view.unit),
    el(
      "p",
      { class: "acts" },
      el("button", { type: "button", onclick: close }, "Close"),
      labelled(copier(link, "a link to this call"), "Copy link"),
      labelled(copier(asText, "this call as text"), "Copy as text"),
    ),
  );
}

// together is why each attempt is held to belong to the call.
function together(call, view) {
  if (call.upstream.length === 0) return null;
  const facts = call.upstream.slice(0, 8).map((a) => {
    const after = elapsed(call.time, a.time);
    return el(
      "li",
      {},
      name(serverOf(a)),
      a.address && a.address !== serverOf(a) ? [" at ", name(a.address)] : null,
      a.credential ? [" was sent ", el("code", {}, clipped(a.credential, 60))] : " was sent no credential",
      after ? ` ${after.replace(/^\+/, "")} after the client asked` : null,
      view.joins[a.confidence] ? `; belongs to this call: ${view.joins[a.confidence]}` : null,
      a.challenge?.error_description ? [". It said: ", el("q", {}, name(a.challenge.error_description, 200))] : null,
    );
  });
  return el("div", { class: "do" }, el("h4", {}, "Why they belong together"), el("ul", {}, facts));
}

function evidence(call, finding, unit) {
  if (!finding?.evidence?.length) return null;
  const rows = finding.evidence.slice(0, 40).map((e) =>
    el("tr", {}, el("th", { scope: "row" }, e.what), el("td", { class: "r" }, String(e.frame)), el("td", { class: "r" }, elapsed(call.time, e.time)), el("td", {}, name(e.flow, 80)), el("td", {}, el("code", {}, name(e.excerpt, 160)))),
  );
  const heads = ["what", unit, "after", "from > to", "begins with"].map((h, i) => el("th", { scope: "col", class: i === 1 || i === 2 ? "r" : null }, h));
  return el("details", { class: "proof" }, el("summary", {}, "Evidence"), el("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Evidence" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
}

function labelled(button, text) {
  button.textContent = text;
  button.dataset.label = text;
  button.removeAttribute("aria-label"); // its text says it
  return button;
}
