// Dark or light: as the system says, until the reader says otherwise. The colours
// stand once in the style, below prefers-color-scheme; here only their condition
// is changed.

const themeKey = "mcp401-theme";
const darkQuery = "(prefers-color-scheme: dark)";

// themeButton makes a button change the colours.
export function themeButton(button) {
  const rules = darkRules();
  const system = matchMedia(darkQuery);
  let chosen = remembered();
  const apply = () => {
    const dark = (chosen ?? (system.matches ? "dark" : "light")) === "dark";
    for (const rule of rules) rule.media.mediaText = chosen ? (dark ? "screen" : "not all") : darkQuery;
    document.documentElement.style.colorScheme = chosen ?? "";
    button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label");
    return dark;
  };
  button.addEventListener("click", () => {
    chosen = apply() ? "light" : "dark";
    remember(chosen);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

function darkRules() {
  const found = [];
  for (const sheet of document.styleSheets) {
    for (const rule of sheet.cssRules) {
      if (rule instanceof CSSMediaRule && rule.media.mediaText === darkQuery) found.push(rule);
    }
  }
  return found;
}

// Storage may be forbidden, for a page from a file for one.
function remembered() {
  try {
    const kept = localStorage.getItem(themeKey);
    return kept === "dark" || kept === "light" ? kept : null;
  } catch {
    return null;
  }
}

function remember(theme) {
  try {
    localStorage.setItem(themeKey, theme);
  } catch {
    // Then it holds until the page is closed.
  }
}
