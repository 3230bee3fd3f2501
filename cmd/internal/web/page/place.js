// Where the reader is, in the URL's fragment: run, call, group and filter. It
// is all that survives a reload.

const keysOfPlace = ["run", "call", "show", "filter"];

// readPlace returns what the fragment says; what it does not say is "".
export function readPlace() {
  const said = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(keysOfPlace.map((key) => [key, (said.get(key) ?? "").slice(0, 200)]));
}

// writePlace changes parts of it. A step that the Back button should undo is a
// new entry of the history.
export function writePlace(change, isStep = false) {
  const place = { ...readPlace(), ...change };
  const text = new URLSearchParams(keysOfPlace.filter((key) => place[key]).map((key) => [key, place[key]])).toString();
  if (text === location.hash.slice(1)) return;
  const url = location.pathname + location.search + (text ? `#${text}` : "");
  try {
    if (isStep) history.pushState(null, "", url);
    else history.replaceState(null, "", url);
  } catch {
    // A browser that changes no history of pages from files, or not that often.
  }
}
