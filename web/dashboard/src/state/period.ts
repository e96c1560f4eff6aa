// Periods: what each is called, its key, and which intervals go with it. The server resolves the times.

export interface Period {
  key: string;
  name: string;
  from: string;
  to: string;
  intervals: string[];
}

/** `today` and its kin are words of the page: `datesOf` makes dates of them, in the zone of the page. */
export const PERIODS: Period[] = [
  { key: "r", name: "Last 30 minutes", from: "-30m", to: "", intervals: ["minute"] },
  { key: "h", name: "Last 3 hours", from: "-3h", to: "", intervals: ["minute"] },
  { key: "d", name: "Today", from: "today", to: "", intervals: ["hour", "minute"] },
  { key: "e", name: "Yesterday", from: "yesterday", to: "today", intervals: ["hour", "minute"] },
  { key: "k", name: "Last 24 hours", from: "-24h", to: "", intervals: ["hour", "minute"] },
  { key: "w", name: "Last 7 days", from: "-7d", to: "", intervals: ["hour", "day"] },
  { key: "f", name: "Last 28 days", from: "-28d", to: "", intervals: ["day", "hour", "week"] },
  { key: "m", name: "Month to date", from: "month", to: "", intervals: ["day", "week"] },
  { key: "n", name: "Last 91 days", from: "-91d", to: "", intervals: ["day", "week", "month"] },
  { key: "l", name: "Last 12 months", from: "-364d", to: "", intervals: ["month", "week", "day"] },
];

export const DEFAULT_PERIOD: Period = PERIODS[4] as Period;

const MINUTES: Record<string, number> = { m: 1, h: 60, d: 1440, w: 10_080 };
const RELATIVE = /^-(\d{1,6})([mhdw])$/;
const DATE = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?)?$/;
const WORDS = ["today", "yesterday", "month"];

export function isTime(text: string): boolean {
  return text === "now" || WORDS.includes(text) || RELATIVE.test(text) || (TIME.test(text) && !Number.isNaN(Date.parse(text)));
}

/** The day of `now` in the zone, as YYYY-MM-DD. */
export function dayIn(zone: string, now: number): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: zone || "UTC", dateStyle: "short" }).format(now).slice(0, 10);
}

export function shiftDay(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** A time as the API takes it: words of the page become dates of the zone. */
export function resolve(text: string, zone: string, now: number): string {
  const today = dayIn(zone, now);
  if (text === "today") return today;
  if (text === "yesterday") return shiftDay(today, -1);
  if (text === "month") return `${today.slice(0, 8)}01`;
  return text;
}

/** About how long, in minutes; a bare date is a midnight. */
export function minutesOf(from: string, to: string, zone: string, now: number): number {
  const at = (text: string): number => {
    const resolved = resolve(text || "now", zone, now);
    const relative = RELATIVE.exec(resolved);
    if (relative) return now - Number(relative[1]) * (MINUTES[relative[2] as string] ?? 1) * 60_000;
    return resolved === "now" ? now : Date.parse(resolved);
  };
  return (at(to) - at(from)) / 60_000;
}

/** Minutes are kept for 48 hours, hours for 60 days, days for 400. A series has at most 3,000 points. */
export function intervalsOf(from: string, to: string, zone: string, now: number): string[] {
  const preset = PERIODS.find((period) => period.from === from && period.to === to);
  if (preset) return preset.intervals;
  const minutes = minutesOf(from, to, zone, now);
  if (minutes <= 180) return ["minute"];
  if (minutes <= 2_880) return ["hour", "minute"];
  if (minutes <= 20_160) return ["hour", "day"];
  if (minutes <= 86_400) return ["day", "hour", "week"];
  if (minutes <= 200_000) return ["day", "week", "month"];
  return ["month", "week", "day"];
}

export function periodName(from: string, to: string): string {
  const preset = PERIODS.find((period) => period.from === from && period.to === to);
  if (preset) return preset.name;
  const relative = RELATIVE.exec(from);
  if (relative && !to) return `Last ${relative[1]} ${({ m: "min", h: "h", d: "days", w: "weeks" } as Record<string, string>)[relative[2] as string]}`;
  return `${from.replace("T", " ")} – ${(to || "now").replace("T", " ")}`;
}

/** What a person types: `3h`, `90 min`, `14d`, `2026-11-01`, `2026-11-01..2026-11-07` (both days included). */
export function typedPeriod(text: string): { from: string; to: string } | null {
  const trimmed = text.trim().toLowerCase();
  const relative = /^-?(\d{1,6})\s*(m|min|h|d|w)[a-z]*$/.exec(trimmed);
  if (relative) return { from: `-${relative[1]}${(relative[2] as string)[0]}`, to: "" };
  const preset = PERIODS.find((period) => period.name.toLowerCase() === trimmed);
  if (preset) return { from: preset.from, to: preset.to };
  const [first = "", last = first, ...rest] = trimmed.split(/\s*(?:\.\.|–|\sto\s)\s*/);
  if (rest.length || !DATE.test(first) || !DATE.test(last)) return null;
  if (Number.isNaN(Date.parse(first)) || Number.isNaN(Date.parse(last)) || last < first) return null;
  return { from: first, to: shiftDay(last, 1) };
}

/** One period back (-1) or on (+1). On stops at now: null where there is nothing later. */
export function shifted(from: string, to: string, by: number, zone: string, now: number): { from: string; to: string } | null {
  const minutes = minutesOf(from, to, zone, now);
  if (!(minutes > 0)) return null;
  const end = now - minutesOf(to || "now", "now", zone, now) * 60_000 + by * minutes * 60_000;
  if (by > 0 && (!to || end >= now + 60_000)) return to ? { from, to: "" } : null;
  const iso = (time: number): string => `${new Date(Math.round(time / 60_000) * 60_000).toISOString().slice(0, 16)}Z`;
  if (DATE.test(resolve(from, zone, now)) && to) {
    const first = resolve(from, zone, now);
    const days = Math.round(minutes / 1440);
    return { from: shiftDay(first, by * days), to: shiftDay(first, by * days + days) };
  }
  if (from === "today" && by < 0) return { from: "yesterday", to: "today" };
  return { from: iso(end - minutes * 60_000), to: iso(end) };
}
