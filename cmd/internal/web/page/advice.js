// What to do about a finding and how to check it, with buttons to copy.
import { capital, copier, el, parts } from "./dom.js";

// adviceOf returns the boxes for a fix (its code in backticks) and a command
// that verifies it; either may be "".
export function adviceOf(fix, verify) {
  const boxes = [];
  if (fix) {
    const codes = codesIn(fix);
    const commands = codes.filter((c) => /^(sudo|tcpdump|curl|mcp401|kubectl|docker) /.test(c));
    const settings = codes.filter((c) => /[:=]/.test(c));
    const copy = commands.length > 0 ? null : copier(settings.length === 1 ? settings[0] : fix.replaceAll("`", ""), settings.length === 1 ? "the setting" : "what to do");
    boxes.push(box("Do this", el("p", {}, parts(capital(fix))), copy));
    boxes.push(...commands.map(toRun));
  }
  if (verify.startsWith("tcpdump ")) boxes.push(toRun(verify)); // the reason is still to be seen
  else if (verify) boxes.push(box("Check it", el("pre", {}, el("code", {}, verify)), copier(verify, "the check")));
  return boxes;
}

function toRun(command) {
  const text = command.startsWith("tcpdump ") ? `sudo ${command}` : command;
  return box("Run", el("pre", {}, el("code", {}, text)), copier(text, "the command"));
}

function codesIn(text) {
  const cut = text.split("`");
  return cut.length % 2 ? cut.filter((_, i) => i % 2 === 1) : [];
}

function box(heading, content, copy) {
  return el("div", { class: "do" }, el("h4", {}, heading), el("div", { class: "copied" }, content, copy));
}
