// A call as a sequence of messages: what steps in Go's report package says, from
// the same JSON. A test holds the two together.

export const client = 0;
export const gateway = 1;
export const upstream = 2;

const attemptsShown = 8; // of one call; the rest is counted

// serverOf is what an attempt's upstream is called.
export function serverOf(attempt) {
  return attempt.server || attempt.url || attempt.address;
}

export function answered(status, tools) {
  if (status === null) return "no answer";
  return tools === null ? String(status) : `${status}, tools: ${tools}`;
}

// accuses reports whether a severity is one that accuses.
function accuses(severity) {
  return severity === "error" || severity === "warning";
}

// stepsOf returns the messages of a call in the order of their frames, and how
// many upstream attempts are left out. A step is {from, to, server, frame, time,
// text, head, bad}; frame 0 is no message.
export function stepsOf(call, finding) {
  const times = new Map((finding?.evidence ?? []).map((e) => [e.frame, e.time]));
  const accused = accuses(call.severity);
  let hidden = false;
  const list = [];
  for (const a of attemptsOf(call, finding)) {
    const server = serverOf(a);
    const bad = accused && a.outcome !== "ok";
    hidden ||= bad;
    list.push({ from: gateway, to: upstream, server, frame: a.frame, time: a.time, text: a.rpc_method || a.http_method || "connection", bad: false });
    const back = { from: upstream, to: gateway, server, frame: 0, time: null, text: a.outcome, bad };
    if (a.status !== null) back.text = answered(a.status, a.tools);
    if (a.challenge?.error) back.text += ` ${a.challenge.error}`;
    if (a.answer_frame !== null) {
      back.frame = a.answer_frame;
      back.time = times.get(a.answer_frame) ?? null;
    } else {
      back.text = a.outcome || "no answer";
    }
    list.push(back);
  }
  if (call.head_frame && list.some((s) => s.frame > call.head_frame)) {
    list.push({ from: gateway, to: client, server: "", frame: call.head_frame, time: call.head_time, text: `${answered(call.status, null)}, head only`, head: true, bad: false });
  }
  sortFrames(list);
  let asked = `${call.http_method} ${call.path}`.trim();
  if (call.rpc_method) asked = `${call.rpc_method}, ${asked}`;
  return {
    list: [
      { from: client, to: gateway, server: "", frame: call.frame, time: call.time, text: asked, bad: false },
      ...list,
      {
        from: gateway, to: client, server: "", frame: call.answer_frame ?? 0, time: call.answer_time, text: answered(call.status, call.tools),
        bad: hidden || (accused && call.upstream.length === 0),
      },
    ],
    left: Math.max(call.upstream.length - attemptsShown, 0),
  };
}

// sortFrames sorts by frame, by insertion: what has none stays where it is, so
// that the order is no order in which any sort may be used.
function sortFrames(list) {
  for (let i = 1; i < list.length; i++) {
    for (let j = i; j > 0 && list[j].frame && list[j - 1].frame && list[j].frame < list[j - 1].frame; j--) {
      [list[j], list[j - 1]] = [list[j - 1], list[j]];
    }
  }
}

// attemptsOf is the upstream attempts that are told: all, or of many those at
// fault first.
function attemptsOf(call, finding) {
  const servers = finding?.servers ?? [];
  const first = [];
  const rest = [];
  for (const a of call.upstream) {
    if (a.outcome !== "ok" && (servers.length === 0 || servers.includes(serverOf(a)))) first.push(a);
    else rest.push(a);
  }
  return [...first, ...rest].slice(0, attemptsShown);
}

// sentence is a step in words.
export function sentence(step, unit) {
  const lanes = ["client", "gateway", step.server || "upstream"];
  let text = `${lanes[step.from]} to ${lanes[step.to]}: ${step.text}`;
  if (step.head) text += " (its status was sent before the upstream had answered)";
  if (step.frame > 0) text = `${unit} ${step.frame}, ${text}`;
  if (step.bad) text += step.from === upstream ? " (the failure that the client was not told of)" : " (the answer that does not tell)";
  return text;
}

// wireshark is a display filter for the frames of steps.
export function wireshark(list) {
  const frames = list.map((s) => s.frame).filter((f, i, all) => f > 0 && f !== all[i - 1]);
  return `frame.number in {${frames.join(", ")}}`;
}
