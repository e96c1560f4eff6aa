// Times → words. Buckets carry their own offset, so a label is read from the text and no zone is computed here.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

const day = (iso: string): string => `${Number(iso.slice(8, 10))} ${MONTHS[Number(iso.slice(5, 7)) - 1] ?? ""}`;
const weekday = (iso: string): string => DAYS[new Date(`${iso.slice(0, 10)}T12:00:00Z`).getUTCDay()] ?? "";
export const clock = (iso: string): string => iso.slice(11, 16);

/** On the axis: short; the first bucket of a day says the day. */
export function axisLabel(iso: string, interval: string): string {
  if (interval === "month") return `${MONTHS[Number(iso.slice(5, 7)) - 1] ?? ""} ${iso.slice(2, 4)}`;
  if (interval === "day" || interval === "week") return day(iso);
  return clock(iso) === "00:00" ? day(iso) : clock(iso);
}

export function bucketLabel(iso: string, interval: string): string {
  if (interval === "month") return `${MONTHS[Number(iso.slice(5, 7)) - 1] ?? ""} ${iso.slice(0, 4)}`;
  if (interval === "week") return `week of ${day(iso)}`;
  if (interval === "day") return `${weekday(iso)} ${day(iso)}`;
  return `${weekday(iso)} ${day(iso)}, ${clock(iso)}`;
}

const dayAndClock = (iso: string): string => (clock(iso) === "00:00" ? day(iso) : `${day(iso)} ${clock(iso)}`);

export const span = (from: string, to: string): string =>
  from.slice(0, 10) === to.slice(0, 10) && clock(to) !== "00:00"
    ? `${day(from)} ${clock(from)} – ${clock(to)}`
    : `${dayAndClock(from)} – ${dayAndClock(to)}`;

/** A moment in the project's zone. */
export function moment(iso: string | null, zone: string, withSeconds = false): string {
  const time = Date.parse(iso ?? "");
  if (!iso || Number.isNaN(time)) return "–";
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: zone || "UTC",
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    ...(withSeconds ? { second: "2-digit" } : {}),
  }).format(time);
}

export function timeOfDay(time: number, zone: string, withMillis = false): string {
  if (Number.isNaN(time)) return "–";
  return new Intl.DateTimeFormat("en-GB", {
    timeZone: zone || "UTC",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    ...(withMillis ? { fractionalSecondDigits: 3 } : {}),
  }).format(time);
}

export function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
