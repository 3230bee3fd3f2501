// The time line of all calls: columns as Go counted them, failures filled, other
// calls hollow.
import { el, svgEl } from "./dom.js";
import { clock, millis } from "./units.js";

const lineHeight = 60; // pixels

// timeline draws view.line. A click gives its time, in milliseconds, to jump;
// mark(time) shows where a call lies, mark(null) takes the sign away.
export function timeline(line, jump) {
  const n = line.all.length;
  const unit = Math.max(1, Math.min(10, Math.floor(lineHeight / line.most))); // height of one call, while there are few
  const high = (calls) => (line.most > lineHeight ? Math.ceil((calls * lineHeight) / line.most) : calls * unit);
  const columns = line.all.flatMap((all, i) => {
    const bad = high(line.bad[i]);
    const whole = high(all);
    const place = { x: `${(100 * i) / n}%`, width: `${86 / n}%` };
    return [
      bad > 0 && svgEl("rect", { class: "bad", ...place, y: lineHeight + 1 - bad, height: bad }),
      whole > bad && svgEl("rect", { class: "ok", ...place, y: lineHeight + 1 - whole, height: whole - bad }),
    ];
  });
  const here = svgEl("path", { class: "here", d: "M-5 0h10l-5 7z" });
  const sign = svgEl("svg", { class: "sign-here", x: 0, y: -8, overflow: "visible", visibility: "hidden" }, here);
  const from = millis(line.from);
  const drawing = svgEl("svg", { class: "line", role: "img", "aria-label": line.says, width: "100%", height: lineHeight + 2 }, columns,
    svgEl("line", { class: "axis", x1: 0, x2: "100%", y1: lineHeight + 1.5, y2: lineHeight + 1.5 }), sign);
  drawing.addEventListener("click", (event) => {
    const box = drawing.getBoundingClientRect();
    jump(from + ((event.clientX - box.left) / box.width) * n * line.width);
  });
  const node = el("section", { class: "when" }, el("h2", {}, "Time line"), drawing,
    el("p", { class: "ends" }, el("span", {}, clock(line.first)), el("span", {}, line.key), el("span", {}, clock(line.last))));
  return {
    node,
    mark(time) {
      const at = time ? ((millis(time) - from) / (n * line.width)) * 100 : NaN;
      sign.setAttribute("visibility", at >= 0 && at <= 100 ? "visible" : "hidden");
      if (at >= 0 && at <= 100) sign.setAttribute("x", `${at}%`);
    },
  };
}
