// Elements made one by one: text of a capture is only ever text.

const svgSpace = "http://www.w3.org/2000/svg";

// el makes an HTML element. Attributes that are false, null or undefined are
// left out; "on..." are listeners; children are nodes or text, nested in lists.
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

// svgEl is el for SVG.
export function svgEl(name, attributes = {}, ...children) {
  return fill(document.createElementNS(svgSpace, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return node;
}

// What does not print, or would steer the eye: controls, marks of writing
// direction, spaces of no width, other formats, private and lone halves.
const unseen = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

// visible names what does not print by its number, as the report does.
function visible(text) {
  return String(text ?? "").replace(unseen, (c) => `[U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

// short is visible text of at most n characters, and whether it is all.
function short(text, n) {
  let at = 0;
  let cut = "";
  for (const c of String(text ?? "")) {
    if (++at > n) return [visible(cut) + "…", false];
    cut += c;
  }
  return [visible(cut), true];
}

// clipped is short as one string.
export function clipped(text, n) {
  return short(text, n)[0];
}

// name shows text of a capture, isolated from what stands around it, and where
// it is cut the whole of it on hover.
export function name(text, n = 120) {
  const [shown, whole] = short(text, n);
  return el("bdi", { title: whole ? null : clipped(text, 4000) }, shown);
}

// capital begins a text with a capital; a name or code that it begins with stays
// as it is.
export function capital(text) {
  return /^[a-z]+[ ,:]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
}

// sentenceOf makes a message a sentence.
export function sentenceOf(text) {
  const shown = capital(clipped(text, 600));
  return /[.!?…]$/.test(shown) ? shown : `${shown}.`;
}

// parts is text with what stands in backticks as code. Where they come in no
// pairs, it is text as a whole.
export function parts(text) {
  const cut = String(text).split("`");
  if (cut.length % 2 === 0) return [text];
  return cut.map((part, i) => (i % 2 && part ? el("code", {}, part) : part));
}

// announce tells a screen reader what changed without a move of the focus.
export function announce(text) {
  const place = document.getElementById("said");
  place.textContent = "";
  requestAnimationFrame(() => (place.textContent = text));
}

// copier is a button that copies. What it copies may be computed when it is
// pressed.
export function copier(text, what) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copied(typeof text === "function" ? text() : text);
    const label = button.dataset.label ?? "Copy";
    button.textContent = done ? "Copied" : "Press Ctrl+C";
    announce(done ? `Copied ${what}` : "Copying is not allowed here: select it and press Ctrl+C");
    setTimeout(() => (button.textContent = label), 1600);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Pages from a file, and older browsers.
    const area = el("textarea", { class: "away", "aria-hidden": "true" });
    const before = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus({ preventScroll: true });
    return done;
  }
}
