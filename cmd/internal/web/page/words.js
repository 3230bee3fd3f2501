// Small tags that name verdicts and causes and lead to their explanation, and the
// explanations.
import { clipped, el, parts } from "./dom.js";

// tagOf is a verdict or cause as a tag; "" is nothing.
export function tagOf(id, severity, view) {
  if (!id) return null;
  const shown = clipped(id, 60);
  const look = `tag ${["error", "warning"].includes(severity) ? severity : ""}`.trim();
  if (!view.words[id]) return el("span", { class: look }, shown);
  return el("a", { class: look, href: `#w-${id}`, "data-word": id, title: view.words[id].meaning }, shown);
}

// certain is the word for a confidence.
export function certain(confidence) {
  const said = { proved: "certain", linked: "certain", likely: "likely", suspected: "suspected" }[confidence];
  return said ? el("span", { class: "sure" }, said) : null;
}

// wordList explains the verdicts and causes of a report.
export function wordList(ids, view) {
  const known = ids.filter((id) => view.words[id]);
  if (known.length === 0) return null;
  return el(
    "section",
    { class: "words" },
    el("h2", {}, "What the words mean"),
    known.map((id) => {
      const word = view.words[id];
      const details = el("details", { id: `w-${id}` }, el("summary", {}, el("code", {}, id), ` ${word.meaning}`));
      // The text is made when it is looked at.
      details.addEventListener("toggle", () => details.children.length === 1 && details.append(prose(word.doc)), { once: true });
      return details;
    }),
  );
}

// showWord opens the explanation that a tag leads to.
export function showWord(id) {
  const details = document.getElementById(`w-${id}`);
  if (!details) return;
  details.open = true;
  details.scrollIntoView({ block: "start" });
  details.querySelector("summary").focus({ preventScroll: true });
}

// prose shows the Markdown of our own texts: headings, lists, code and
// paragraphs; what else there is stays as it is written.
function prose(markdown) {
  const box = el("div", { class: "prose" });
  let list = null;
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) box.append(el("p", {}, parts(paragraph.join(" "))));
    paragraph = [];
  };
  const lines = markdown.split("\n");
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i];
    if (!/^([-*]|\d+\.) |^ {2,}\S/.test(line)) list = null;
    if (/^# /.test(line)) continue; // the summary says it
    if (line.startsWith("```") || line.startsWith("|")) {
      flush();
      const fence = line.startsWith("```");
      const code = fence ? [] : [line];
      while (++i < lines.length && (fence ? !lines[i].startsWith("```") : lines[i].startsWith("|"))) code.push(lines[i]);
      if (!fence) i--;
      box.append(el("pre", { tabindex: 0 }, el("code", {}, code.join("\n"))));
    } else if (/^#+ /.test(line)) {
      flush();
      box.append(el("h3", {}, parts(line.replace(/^#+ /, ""))));
    } else if (/^([-*]|\d+\.) /.test(line)) {
      flush();
      list ??= box.appendChild(el(/^\d/.test(line) ? "ol" : "ul"));
      let item = line.replace(/^([-*]|\d+\.) /, "");
      while (i + 1 < lines.length && /^ {2,}\S/.test(lines[i + 1])) item += ` ${lines[++i].trim()}`;
      list.append(el("li", {}, parts(item)));
    } else if (line.trim() === "") {
      flush();
    } else {
      paragraph.push(line.trim());
    }
  }
  flush();
  return box;
}
