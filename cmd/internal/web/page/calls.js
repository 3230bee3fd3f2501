// The list of calls. However many there are, only the rows in view exist: all
// rows are of one height, and at most one is opened.
import { openedCall } from "./call.js";
import { announce, clipped, el } from "./dom.js";
import { answered, serverOf } from "./steps.js";
import { absolute, counted, millis, number, since } from "./units.js";

const spare = 12; // rows that exist above and below the view
const rowsMost = 400000; // a browser has no taller elements
const printed = 400; // rows on paper
const searched = 300; // characters of a path that the filter looks at

// callList makes the list of the calls of a run. moved is told the call that is
// opened or at which the reader is: {key, time}.
export function callList({ report, view, place, wrote, moved }) {
  // As they are told: a call is decided when all of it is known.
  const cases = report.cases.toSorted((a, b) => a.frame - b.frame);
  const keys = keysOf(cases);
  const indexOf = new Map(keys.map((k, i) => [k, i]));
  const groupOf = new Map(view.groups.flatMap((g) => g.verdicts.map((v) => [v, g.id])));
  const start = millis(view.line?.first);
  const texts = new Array(cases.length);

  let show = "";
  let sought = "";
  let matching = cases.map((_, i) => i);
  let at = -1; // the row in matching where the reader is
  let opened = -1; // the case that is open
  let openHeight = 0;
  let rowHeight = 38;
  let panel = null;
  let paper = false;
  const rows = new Map(); // those that exist, by case

  const list = el("div", { class: "rows", role: "list", "aria-label": "Calls" });
  const found = el("span", { class: "found", role: "status" });
  const empty = el("p", { class: "none", hidden: true }, "No call fits. ", el("button", { type: "button", onclick: () => set("", "") }, "Show all"));
  const input = el("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: "false", placeholder: "server, route, cause, #frame", "aria-label": "Filter the calls by text" });
  const chips = [{ id: "", label: "all", count: cases.length }, ...view.groups].map((g) =>
    el("button", { type: "button", class: `chip ${g.id}`.trim(), "aria-pressed": "false", "data-group": g.id, onclick: () => set(g.id, sought) }, g.label, " ", el("b", {}, number(g.count))),
  );
  const node = el(
    "section",
    { class: "calls", id: "calls" },
    el("h2", {}, "Calls"),
    el("div", { class: "pick" }, el("div", { class: "chips", role: "group", "aria-label": "Show" }, chips), el("div", { class: "find" }, input, found)),
    empty,
    el("div", { class: "heads", "aria-hidden": "true" }, ["s", view.unit, "call, server at fault", "answer", "verdict, cause"].map((h) => el("span", {}, h))),
    list,
    cases.length > rowsMost ? el("p", { class: "left" }, `The list shows the first ${number(rowsMost)} that fit; the filter finds all.`) : null,
  );

  const watchPanel = new ResizeObserver(() => {
    const height = panel ? panel.offsetHeight : 0;
    if (height !== openHeight) {
      openHeight = height;
      render();
    }
  });
  let asked = false;
  const renderSoon = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      render();
    });
  };

  input.addEventListener("input", () => set(show, input.value));
  addEventListener("scroll", renderSoon, { passive: true });
  const resized = new ResizeObserver(() => {
    measure();
    render();
  });
  resized.observe(node);
  const print = () => {
    paper = true;
    render();
  };
  const onScreen = () => {
    paper = false;
    render();
  };
  addEventListener("beforeprint", print);
  addEventListener("afterprint", onScreen);

  function textOf(i) {
    if (texts[i] === undefined) {
      const c = cases[i];
      texts[i] = [
        `#${c.frame}`, c.http_method, c.path.slice(0, searched), c.rpc_method ?? "", c.verdict, c.cause, c.failure, answered(c.status, c.tools), c.client, ...c.servers.slice(0, 20),
        ...c.upstream.slice(0, 20).flatMap((a) => [serverOf(a), a.address, a.cause, a.credential ?? ""]),
      ].join(" ").toLowerCase();
    }
    return texts[i];
  }

  // The texts are made before anybody looks for them, while nothing else is to do.
  let next = 0;
  let idle = 0;
  const whenIdle = globalThis.requestIdleCallback ?? ((f) => setTimeout(() => f({ timeRemaining: () => 8 }), 50));
  const prepare = (deadline) => {
    while (next < cases.length && deadline.timeRemaining() > 1) {
      for (const end = Math.min(next + 100, cases.length); next < end; next++) textOf(next);
    }
    if (next < cases.length && idle >= 0) idle = whenIdle(prepare);
  };
  if (cases.length > 1000) idle = whenIdle(prepare);

  // set chooses a group and a text; all words of it have to be there.
  function set(group, text, quiet = false) {
    show = view.groups.some((g) => g.id === group) ? group : "";
    sought = text;
    if (input.value !== text) input.value = text;
    const terms = text.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (i) => (!show || (groupOf.get(cases[i].verdict) ?? "other") === show) && terms.every((t) => (/^#\d+$/.test(t) ? t === `#${cases[i].frame}` : textOf(i).includes(t)));
    const was = at >= 0 ? matching[at] : -1;
    matching = [];
    for (let i = 0; i < cases.length && matching.length < rowsMost; i++) if (fits(i)) matching.push(i);
    at = was >= 0 ? matching.indexOf(was) : -1;
    if (opened >= 0 && !fits(opened)) shut();
    for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.group === show));
    found.textContent = matching.length === cases.length ? counted(cases.length, "call") : `${number(matching.length)} of ${counted(cases.length, "call")}`;
    empty.hidden = matching.length > 0;
    render();
    if (!quiet) {
      wrote({ show, filter: sought });
      if (list.getBoundingClientRect().top < 0) node.scrollIntoView({ block: "start" });
    }
  }

  function measure() {
    const value = parseFloat(getComputedStyle(list).getPropertyValue("--row"));
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    if (value) rowHeight = Math.round(value * rem);
    list.style.setProperty("--row-px", `${rowHeight}px`);
  }

  // top is where the row of that place begins.
  function top(place) {
    const open = opened >= 0 ? openPlace() : -1;
    return place * rowHeight + (open >= 0 && place > open ? openHeight : 0);
  }

  let placed = [-1, null]; // of which opened in which matching openPlace is known
  let placeOfOpen = -1;
  function openPlace() {
    if (placed[0] !== opened || placed[1] !== matching) {
      placed = [opened, matching];
      placeOfOpen = matching.indexOf(opened);
    }
    return placeOfOpen;
  }

  function render() {
    if (!node.isConnected) return;
    list.classList.toggle("paper", paper);
    list.style.height = paper ? "" : `${top(matching.length)}px`;
    const above = -list.getBoundingClientRect().top;
    let first = 0;
    let last = Math.min(matching.length, printed) - 1;
    if (!paper) {
      const open = openPlace();
      const rowAt = (y) => Math.floor((open >= 0 && y > (open + 1) * rowHeight ? Math.max((open + 1) * rowHeight, y - openHeight) : y) / rowHeight);
      first = Math.max(0, rowAt(above) - spare);
      last = Math.min(matching.length - 1, rowAt(above + innerHeight) + spare);
    }
    const wanted = new Map();
    for (let p = first; p <= last; p++) wanted.set(matching[p], p);
    // The row where the reader is, or the first, and the opened one exist
    // wherever they are: Tab leads to them.
    if (matching.length > 0) wanted.set(matching[Math.max(at, 0)], Math.max(at, 0));
    if (opened >= 0 && openPlace() >= 0) wanted.set(opened, openPlace());
    for (const [i, row] of rows) {
      if (!wanted.has(i)) {
        row.remove();
        rows.delete(i);
      }
    }
    let before = null;
    for (const [i, p] of [...wanted].sort((a, b) => a[1] - b[1])) {
      let row = rows.get(i);
      if (!row) {
        row = rowOf(i);
        rows.set(i, row);
      }
      row.style.top = paper ? "" : `${top(p)}px`;
      row.setAttribute("aria-posinset", p + 1);
      row.setAttribute("aria-setsize", matching.length);
      row.firstChild.tabIndex = p === Math.max(at, 0) ? 0 : -1;
      row.classList.toggle("at", p === at);
      const next = before ? before.nextSibling : list.firstChild;
      if (row !== next) list.insertBefore(row, next);
      before = row;
    }
  }

  function rowOf(i) {
    const c = cases[i];
    const route = `${c.http_method} ${c.path}`.trim();
    const severity = ["error", "warning"].includes(c.severity) ? c.severity : "";
    const why = c.cause || c.failure;
    const button = el(
      "button",
      { type: "button", class: "row-open", "aria-expanded": String(i === opened) },
      el("span", { class: "clock", title: absolute(c.time) }, since(millis(c.time) - start)),
      el("span", { class: "no" }, `#${c.frame}`),
      el("span", { class: "route", title: clipped(route, 2000) }, el("bdi", {}, clipped(route, searched)), atFault(c).map((s) => [" ", el("bdi", { class: "at-fault" }, clipped(s, 60))])),
      el("span", { class: "told" }, answered(c.status, c.tools)),
      el("span", { class: "why" }, el("span", { class: `tag ${severity}`.trim() }, clipped(c.verdict, 40)), why ? [" ", el("span", { class: "tag" }, clipped(why, 40))] : null),
      el("span", { class: "go", "aria-hidden": "true" }, "›"),
    );
    button.addEventListener("click", () => (opened === i ? shut(true) : open(i, true)));
    button.addEventListener("focus", () => {
      const p = matching.indexOf(i);
      if (p !== at) stand(p);
    });
    const row = el("div", { class: `row ${severity}`.trim(), role: "listitem" }, button);
    if (i === opened && panel) row.append(panel);
    return row;
  }

  // atFault is the servers that a row names.
  function atFault(c) {
    const servers = report.findings.get(c)?.servers ?? [];
    return servers.slice(0, 2);
  }

  function stand(p) {
    at = p;
    for (const [i, row] of rows) {
      const here = i === matching[at];
      row.firstChild.tabIndex = here ? 0 : -1;
      row.classList.toggle("at", here);
    }
    const i = matching[at];
    moved(i === undefined ? null : { key: keys[i], time: cases[i].time });
  }

  function open(i, isStep, quiet = false) {
    shut();
    opened = i;
    panel = el("div", { class: "opened", id: "opened", role: "region", "aria-label": `Call of ${view.unit} ${cases[i].frame}` },
      openedCall({ call: cases[i], finding: report.findings.get(cases[i]), view, close: () => shut(true) }));
    const row = rows.get(i);
    if (row) {
      row.append(panel);
      row.classList.add("open");
      row.firstChild.setAttribute("aria-expanded", "true");
      row.firstChild.setAttribute("aria-controls", "opened");
    }
    stand(matching.indexOf(i));
    openHeight = panel.offsetHeight;
    watchPanel.observe(panel);
    render();
    rows.get(i).classList.add("open");
    openHeight = panel.offsetHeight;
    render();
    if (quiet) return;
    wrote({ call: keys[i] }, isStep);
    bring(openPlace());
  }

  // shut closes the opened call; with again the focus goes back to its row.
  function shut(again = false) {
    if (opened < 0) return;
    const i = opened;
    watchPanel.disconnect();
    panel.remove();
    panel = null;
    opened = -1;
    openHeight = 0;
    const row = rows.get(i);
    if (row) {
      row.classList.remove("open");
      row.firstChild.setAttribute("aria-expanded", "false");
      row.firstChild.removeAttribute("aria-controls");
    }
    if (again) {
      wrote({ call: "" });
      render();
      bring(matching.indexOf(i));
      row?.firstChild.focus({ preventScroll: true });
    }
  }

  // bring scrolls so that the row of that place is in view.
  function bring(place) {
    if (place < 0) return;
    const y = list.getBoundingClientRect().top + top(place);
    const head = node.querySelector(".pick").offsetHeight + 8;
    const height = rowHeight + (place === openPlace() ? Math.min(openHeight, innerHeight - head - rowHeight) : 0);
    if (y < head) scrollBy({ top: y - head, behavior: "instant" });
    else if (y + height > innerHeight) scrollBy({ top: Math.min(y - head, y + height - innerHeight + 8), behavior: "instant" });
    render();
  }

  // go moves the reader by that many rows.
  function go(by) {
    if (matching.length === 0) return;
    const to = at < 0 ? Math.max(0, by > 0 ? 0 : matching.length - 1) : Math.min(matching.length - 1, Math.max(0, at + by));
    at = to;
    render();
    bring(to);
    stand(to);
    rows.get(matching[to]).firstChild.focus({ preventScroll: true });
  }

  // openKey opens the call that a URL names. It returns whether there is one.
  function openKey(key) {
    const i = indexOf.get(key);
    if (i === undefined) return false;
    if (!matching.includes(i)) set("", "", true);
    if (opened !== i) open(i, false);
    return true;
  }

  // jump goes to the first call at or after a time in milliseconds.
  function jump(time) {
    const p = matching.findIndex((i) => millis(cases[i].time) >= time - 0.5);
    if (p < 0) return;
    at = p;
    render();
    bring(p);
    stand(p);
    rows.get(matching[p]).firstChild.focus({ preventScroll: true });
    announce(`Call of ${view.unit} ${cases[matching[p]].frame}`);
  }

  list.addEventListener("keydown", (event) => {
    if (!event.target.classList.contains("row-open") || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(innerHeight / rowHeight) - 3);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -matching.length, End: matching.length }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    go(by);
  });

  return {
    node,
    // ready is called once the node is in the document.
    ready() {
      measure();
      set(place.show, place.filter, true);
      if (place.call && !openKey(place.call)) wrote({ call: "" });
      if (!place.call && cases.length === 1) open(0, false, true);
    },
    apply(next) {
      if (next.show !== show || next.filter !== sought) set(next.show, next.filter, true);
      if (next.call) openKey(next.call);
      else shut();
      render();
    },
    set,
    openKey,
    go,
    jump,
    shut,
    isOpen: () => opened >= 0,
    toggle: () => {
      if (at < 0) return;
      if (opened === matching[at]) shut(true);
      else open(matching[at], true);
    },
    find() {
      node.scrollIntoView({ block: "start" });
      input.focus();
      input.select();
    },
    drop() {
      idle = -1;
      removeEventListener("scroll", renderSoon);
      removeEventListener("beforeprint", print);
      removeEventListener("afterprint", onScreen);
      resized.disconnect();
      watchPanel.disconnect();
    },
  };
}

// keysOf names each call in a URL: by its frame, and where several begin in one
// frame by their order, too.
function keysOf(cases) {
  const seen = new Map();
  return cases.map((c) => {
    const n = (seen.get(c.frame) ?? 0) + 1;
    seen.set(c.frame, n);
    return n === 1 ? String(c.frame) : `${c.frame}.${n}`;
  });
}
