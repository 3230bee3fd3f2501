// The keyboard: o opens files, / filters, j and k move, Enter opens, Esc closes, ?
// lists the keys.

// watchKeys listens; list() is the list of calls or null.
export function watchKeys({ open, list, cancel }) {
  const help = document.getElementById("keys");
  document.getElementById("help").addEventListener("click", () => help.showModal());
  help.addEventListener("click", (event) => {
    if (event.target === help || event.target.closest("button")) help.close();
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    const typing = event.target.closest?.("input, textarea, select");
    if (event.key === "Escape") {
      if (typing) {
        if (typing.value) list()?.set("", "");
        else typing.blur();
      } else if (list()?.isOpen()) list().shut(true);
      else cancel();
      return;
    }
    if (typing) {
      if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        list()?.go(1);
      }
      return;
    }
    const act = {
      o: open,
      "/": () => list()?.find(),
      j: () => list()?.go(1),
      k: () => list()?.go(-1),
      "?": () => help.showModal(),
      Enter: event.target === document.body ? () => list()?.toggle() : undefined,
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
