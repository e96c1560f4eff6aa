// Hours of the week, from a series of hours: how much each has on average. Pure.
import type { Point } from "../api/types";

export const WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
export const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** Which day of the week a bucket is of, 0 for Monday; and its hour. Both are in the text, so no zone is computed. */
function placeOf(iso: string): [number, number] {
  const day = new Date(`${iso.slice(0, 10)}T12:00:00Z`).getUTCDay();
  return [(day + 6) % 7, Number(iso.slice(11, 13))];
}

/** By weekday and hour: the mean over all such hours, null where there was none. An hour that occurs twice counts twice. */
export function meansOfWeek(points: Point[]): (number | null)[][] {
  const sums = WEEKDAYS.map(() => HOURS.map(() => ({ sum: 0, hours: 0 })));
  for (const [time, value] of points) {
    const [day, hour] = placeOf(time);
    const cell = sums[day]?.[hour];
    if (!cell) continue;
    cell.sum += value ?? 0;
    cell.hours += 1;
  }
  return sums.map((row) => row.map(({ sum, hours }) => (hours ? sum / hours : null)));
}

/** The weekdays in the order of the project's week. */
export function weekFrom(first: string): number[] {
  const start = Math.max(0, WEEKDAYS.indexOf(first));
  return WEEKDAYS.map((_, index) => (start + index) % 7);
}
