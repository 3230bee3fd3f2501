// Numbers, times and sizes as people read them.

const grouped = new Intl.NumberFormat("en-US");

export function number(n) {
  return grouped.format(n);
}

export function counted(n, word) {
  return `${number(n)} ${plural(n, word)}`;
}

function plural(n, word) {
  if (n === 1) return word;
  return word.endsWith("ry") ? word.slice(0, -1) + "ies" : word + "s";
}

// bytes is a size in decimal units.
export function bytes(n) {
  if (n < 1000) return counted(n, "byte");
  const units = ["kB", "MB", "GB", "TB"];
  let i = -1;
  do {
    n /= 1000;
    i++;
  } while (n >= 999.5 && i < units.length - 1);
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

// millis is a time of the report in milliseconds, with the fraction that Date
// drops; NaN where there is none.
export function millis(time) {
  if (!time) return NaN;
  const fraction = /\.\d{3}(\d+)/.exec(time);
  return Date.parse(time) + (fraction ? Number("0." + fraction[1]) : 0);
}

// elapsed is the time from one moment to a later one, as the report says it:
// "+1.204 s".
export function elapsed(from, to) {
  const ms = millis(to) - millis(from);
  if (Number.isNaN(ms)) return "";
  if (ms >= 0 && ms < 1000) return `+${ms.toFixed(1)} ms`;
  if (ms >= 0 && ms < 1 << 20) return `+${(ms / 1000).toFixed(3)} s`;
  return (ms < 0 ? "-" : "+") + span(Math.abs(ms));
}

// span is a length of time: "350 ms", "1.5 s", "3 min 20 s", "2 h 5 min".
export function span(ms) {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 120) return `${Math.round(s)} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min ${Math.round(s % 60)} s`;
  const h = Math.floor(m / 60);
  return h < 48 ? `${h} h ${m % 60} min` : `${Math.floor(h / 24)} days ${h % 24} h`;
}

// since is a place on a list that begins at 0: "0.000", "12.345", "1:02:03.456".
export function since(ms) {
  if (Number.isNaN(ms)) return "";
  const sign = ms < 0 ? "-" : "";
  const all = Math.round(Math.abs(ms));
  const s = Math.floor(all / 1000);
  const rest = String(all % 1000).padStart(3, "0");
  if (s < 60) return `${sign}${s}.${rest}`;
  const two = (n) => String(n).padStart(2, "0");
  const m = Math.floor(s / 60);
  if (m < 60) return `${sign}${m}:${two(s % 60)}.${rest}`;
  return `${sign}${Math.floor(m / 60)}:${two(m % 60)}:${two(s % 60)}.${rest}`;
}

// clock is the time of day in UTC: "08:04:11.301".
export function clock(time) {
  const at = /T(\d\d:\d\d:\d\d)(\.\d{1,3})?/.exec(time ?? "");
  return at ? at[1] + (at[2] ?? ".0").padEnd(4, "0") : "";
}

// absolute is a moment in UTC and in the reader's own zone.
export function absolute(time) {
  const ms = millis(time);
  if (Number.isNaN(ms)) return "";
  return `${time} (${new Date(ms).toLocaleString()} here)`;
}
