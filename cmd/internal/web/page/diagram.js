// The two hops of a call as a sequence diagram: a lane for the client, the
// gateway and each upstream, a row for each message.
import { clipped, el, svgEl } from "./dom.js";
import { client, gateway, serverOf, upstream } from "./steps.js";
import { counted, elapsed } from "./units.js";

const rowsTop = 48; // pixels
const rowHeight = 46;
const narrow = 560; // pixels: below, all upstreams share a lane
const lanesMost = 4; // upstreams with a lane of their own
const laneWidest = 400;

// diagram draws the steps of a call, in a box. It is as wide as the box, and
// drawn again when that changes.
export function diagram(call, steps) {
  const root = svgEl("svg", { class: "hops", role: "img", "aria-label": says(steps), height: rowsTop + rowHeight * steps.length + 12 });
  const box = el("div", { class: "drawn" }, root);
  let drawn = 0;
  const draw = () => {
    const width = Math.floor(box.clientWidth);
    if (!width || width === drawn) return;
    drawn = width;
    root.replaceChildren(...figure(call, steps, width, root));
  };
  // Of the box: what is drawn has a width of its own.
  new ResizeObserver(draw).observe(box);
  requestAnimationFrame(draw);
  return box;
}

function says(steps) {
  return `${counted(steps.length, "message")} between client, gateway and upstream; the list below says the same in words`;
}

function figure(call, steps, room, root) {
  const servers = [...new Set(steps.map((s) => s.server).filter(Boolean))];
  const apart = servers.length > 1 && servers.length <= lanesMost && room >= narrow + 130 * (servers.length - 1);
  const named = servers.length > 1 && !apart; // a lane that several share: messages say whose they are
  const lanes = [
    { name: "client", at: call.client },
    { name: "gateway", at: call.gateway },
    ...(apart ? servers.map((s) => ({ name: s, at: addressOf(call, s) })) : [{ name: servers.length === 1 ? servers[0] : "upstreams", at: servers.length === 1 ? addressOf(call, servers[0]) : "" }]),
  ];
  if (servers.length === 0) Object.assign(lanes[2], { name: "upstream", at: "not in this file" });
  const width = Math.min(room, laneWidest * (lanes.length - 1) + 120);
  const small = room < narrow;
  const edge = Math.min(width * 0.12, 96);
  const x = lanes.map((_, i) => Math.round(edge + ((width - 2 * edge) * i) / (lanes.length - 1)));
  const gap = x[1] - x[0];
  const bottom = rowsTop + rowHeight * steps.length + 4;
  const letter = small ? 6.2 : 7; // pixels a character takes
  const fit = (text, space) => clipped(text, Math.max(4, Math.floor(space / letter)));
  root.setAttribute("width", width);

  const nodes = lanes.flatMap((lane, i) => {
    const space = i === 0 || i === lanes.length - 1 ? 2 * edge - 4 : gap - 12;
    return [
      svgEl("text", { class: "lane", x: x[i], y: 14, "text-anchor": "middle" }, fit(lane.name, space / 1.12), title(lane.name)),
      svgEl("text", { class: "meta", x: x[i], y: 30, "text-anchor": "middle" }, fit(lane.at, space), title(lane.at)),
      svgEl("line", { class: "life", x1: x[i], x2: x[i], y1: 38, y2: bottom }),
    ];
  });
  steps.forEach((s, i) => {
    const lane = apart && s.server ? 2 + servers.indexOf(s.server) : 2;
    const ends = [x[client], x[gateway], x[lane]];
    nodes.push(message(s, i, { from: ends[s.from], to: ends[s.to], gap, whose: named ? s.server : "", start: call.time, fit, small }));
  });
  return nodes;
}

function addressOf(call, server) {
  const a = call.upstream.find((u) => serverOf(u) === server);
  return a ? a.address : "";
}

function message(step, i, { from, to, gap, whose, start, fit, small }) {
  const y = rowsTop + rowHeight * i + 21;
  const right = to > from;
  const far = step.from === upstream || step.to === upstream;
  const stopped = step.bad && step.from === upstream; // the gateway let it go no further
  // The label stands beside the gateway, where the message of a far lane begins.
  const middle = far ? Math.min(from, to) + gap / 2 + (stopped ? 8 : 0) : (from + to) / 2;
  const label = whose && !small ? `${whose}: ${step.text}` : step.text;
  let meta = step.frame ? `#${step.frame}` : "";
  const after = i > 0 && step.frame ? elapsed(start, step.time) : "";
  if (whose && small) meta = `${clipped(whose, 10)} ${meta}`;
  else if (after) meta += ` ${after}`;
  const kind = step.frame === 0 ? "lost" : step.head ? "msg head" : "msg";
  const group = svgEl(
    "g",
    { class: step.bad ? "bad" : null },
    svgEl("text", { class: "label", x: middle, y: y - 7, "text-anchor": "middle" }, fit(label, gap - 14), title(label)),
    svgEl("line", { class: kind, x1: from, x2: step.frame && step.bad ? to + (right ? -8 : 8) : to, y1: y, y2: y }),
    step.frame && !stopped ? tip(to, y, right, step.bad) : null,
    svgEl("text", { class: "meta", x: middle, y: y + 15, "text-anchor": "middle" }, fit(meta, gap)),
  );
  if (stopped) {
    group.append(
      svgEl("path", { class: "sign", d: octagon(to, y) }),
      svgEl("path", { class: "cross", d: `M${to - 4} ${y - 4}L${to + 4} ${y + 4}M${to + 4} ${y - 4}L${to - 4} ${y + 4}` }),
      svgEl("text", { class: "hidden", x: to - 16, y: y + 4, "text-anchor": "end" }, small ? "hidden" : "hidden here"),
    );
  }
  return group;
}

function tip(x, y, right, bad) {
  const n = bad ? 12 : 8;
  const d = right ? `M${x - n} ${y - n / 2}L${x} ${y}L${x - n} ${y + n / 2}z` : `M${x + n} ${y - n / 2}L${x} ${y}L${x + n} ${y + n / 2}z`;
  return svgEl("path", { class: bad ? "tip-bad" : "tip", d });
}

function octagon(x, y) {
  return `M${x - 9} ${y - 4}l5-5h8l5 5v8l-5 5h-8l-5-5z`;
}

function title(text) {
  return text ? svgEl("title", {}, clipped(text, 1000)) : null;
}
