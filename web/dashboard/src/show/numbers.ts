// Values → words. Pure.
import type { Unit } from "../api/types";

const LOCALE = "en";
const WHOLE = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const DASH = "–";

function money(value: number, currency: string, options: Intl.NumberFormatOptions): string {
  try {
    const style = { style: "currency", currency, currencyDisplay: "narrowSymbol" } as const;
    return new Intl.NumberFormat(LOCALE, { ...style, ...options }).format(value);
  } catch {
    return `${new Intl.NumberFormat(LOCALE, options).format(value)} ${currency}`;
  }
}

/** Three digits, never rounded up into the next power: 999,999 is 1.00M, 12,345 is 12.3k. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size < 10_000) return WHOLE.format(value);
  for (const [limit, unit, letter] of [[1e6, 1e3, "k"], [1e9, 1e6, "M"], [1e12, 1e9, "B"], [Infinity, 1e12, "T"]] as const) {
    if (size < limit) return `${threeDigits(value / unit)}${letter}`;
  }
  return WHOLE.format(value);
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  const digits = size < 10 ? 2 : size < 100 ? 1 : 0;
  const cut = Math.trunc(value * 10 ** digits + Math.sign(value) * 1e-9) / 10 ** digits;
  return cut.toFixed(digits);
}

/** A share never says 100 % or 0 % unless it is exactly that. */
export function ratio(value: number): string {
  const percent = value * 100;
  if (percent === 0) return "0 %";
  if (percent > 0 && percent < 0.005) return ">0 %";
  const digits = Math.abs(percent) < 10 ? 2 : 1;
  const text = percent.toFixed(digits);
  if (value < 1 && Number(text) >= 100) return "<100 %";
  return `${Number(text) === Math.trunc(Number(text)) && value === 1 ? "100" : text} %`;
}

export function duration(seconds: number): string {
  if (seconds < 1) return seconds === 0 ? "0s" : `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${String(whole % 60).padStart(2, "0")}s`;
  return `${Math.floor(whole / 3600)}h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}m`;
}

export interface Shown {
  unit: Unit;
  currency?: string | undefined;
}

/** Short, for tiles and charts. */
export function short(value: number | null | undefined, { unit, currency = "" }: Shown): string {
  if (value === null || value === undefined) return DASH;
  if (unit === "ratio") return ratio(value);
  if (unit === "seconds") return duration(value);
  if (unit === "number") return Math.abs(value) < 10_000 ? trimmed(value) : compact(value);
  if (unit === "money") {
    if (Math.abs(value) < 10_000) return money(value, currency, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    return money(value, currency, { maximumFractionDigits: 0 }).replace(/[\d,.]+/, compact(Math.abs(value)));
  }
  return compact(value);
}

/** On an axis, whose numbers are round: without zeros after the point, 4m for 4m 00s. */
export const onAxis = (value: number, shown: Shown): string => short(value, shown).replace(/\.0+(?=\D|$)/, "").replace(/ 00[ms]$/, "");

/** Exact, for tables, titles and screen readers. */
export function exact(value: number | null | undefined, { unit, currency = "" }: Shown): string {
  if (value === null || value === undefined) return DASH;
  if (unit === "money") return money(value, currency, { minimumFractionDigits: 2, maximumFractionDigits: 4 });
  if (unit === "ratio") return `${(value * 100).toFixed(2)} %`;
  if (unit === "seconds") return `${Number(value.toFixed(3))} s`;
  return new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 4 }).format(value);
}

function trimmed(value: number): string {
  return new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 0, maximumFractionDigits: 2 }).format(value);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${WHOLE.format(count)} ${count === 1 ? one : many}`;
}

export interface Change {
  text: string;
  direction: "up" | "down" | "flat";
  words: string;
}

/** Now against before: per cent, percentage points for ratios, `new` from nothing. */
export function change(now: number | null, before: number | null | undefined, unit: Unit): Change | null {
  if (now === null || before === null || before === undefined) return null;
  if (unit === "ratio") return points((now - before) * 100);
  if (before === 0) {
    if (now === 0) return { text: "±0", direction: "flat", words: "no change" };
    return { text: "new", direction: now > 0 ? "up" : "down", words: "nothing before" };
  }
  const percent = ((now - before) / Math.abs(before)) * 100;
  return worded(percent, Math.abs(percent) > 999 ? ">999 %" : `${Math.abs(percent).toFixed(1)} %`);
}

function points(difference: number): Change {
  return worded(difference, `${Math.abs(difference).toFixed(1)} pp`);
}

function worded(value: number, text: string): Change {
  if (Math.abs(value) < 0.05) return { text: "±0", direction: "flat", words: "no change" };
  const direction = value > 0 ? "up" : "down";
  return { text: `${direction === "up" ? "▲" : "▼"} ${text}`, direction, words: `${direction} ${text}` };
}
