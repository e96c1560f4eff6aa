// Arithmetic of a chart, without a page: ticks, thinning, paths.

export interface Series {
  name: string;
  values: (number | null)[];
  /** Its step of the palette, 0 to 7. */
  color: number;
}

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The ticks of a unit: a clock's for lengths, no halves for counts. */
export const tickKind = (unit: string): "any" | "time" | "whole" => (unit === "seconds" ? "time" : unit === "count" ? "whole" : "any");

/** Steps of a clock, in seconds. */
const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/** Round numbers from 0 (or below) to at least the greatest value. */
export function ticksFor(least: number, most: number, count: number, kind: "any" | "time" | "whole" = "any"): number[] {
  const low = Math.min(0, least);
  const high = most <= low ? low + 1 : most;
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const clock = kind === "time" ? TIME_STEPS.find((seconds) => seconds >= rough) : undefined;
  const round = clock ?? ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const step = kind === "whole" ? Math.max(1, round) : round;
  const first = Math.floor(low / step);
  const last = Math.ceil(high / step);
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
  return ticks;
}

/** Which buckets get a label: evenly spaced, and never closer than `gap` pixels. */
export function labelled(count: number, width: number, gap: number): number[] {
  if (!count) return [];
  const most = Math.max(1, Math.floor(width / gap));
  const nice = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 24, 30, 60, 120, 180, 240, 360, 720].find((step) => count / step <= most);
  const step = nice ?? Math.ceil(count / most);
  return Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);
}

export const xOf = (index: number, count: number, box: Box): number =>
  box.left + (count <= 1 ? box.width / 2 : (index / (count - 1)) * box.width);

export const yOf = (value: number, ticks: number[], box: Box): number => {
  const low = ticks[0] ?? 0;
  const high = ticks[ticks.length - 1] ?? 1;
  return box.top + box.height - ((value - low) / (high - low || 1)) * box.height;
};

export function indexAt(x: number, count: number, box: Box): number {
  if (count <= 1) return 0;
  return Math.max(0, Math.min(count - 1, Math.round(((x - box.left) / box.width) * (count - 1))));
}

/** At most two points a pixel column, the least and the greatest, in their order. */
export function thinned(values: (number | null)[], columns: number): number[] {
  if (values.length <= columns * 2) return values.map((_, index) => index);
  const kept = new Set<number>([0, values.length - 1]);
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column * values.length) / columns);
    const to = Math.floor(((column + 1) * values.length) / columns);
    let least = from;
    let most = from;
    for (let index = from; index < to; index += 1) {
      if ((values[index] ?? 0) < (values[least] ?? 0)) least = index;
      if ((values[index] ?? 0) > (values[most] ?? 0)) most = index;
    }
    kept.add(least).add(most);
  }
  return [...kept].sort((a, b) => a - b);
}

/** A path through the values; a null is a gap. */
export function pathOf(values: (number | null)[], count: number, ticks: number[], box: Box): string {
  let path = "";
  let isDrawing = false;
  for (const index of thinned(values, Math.max(1, Math.floor(box.width)))) {
    const value = values[index];
    if (value === null || value === undefined) {
      isDrawing = false;
      continue;
    }
    path += `${isDrawing ? "L" : "M"}${xOf(index, count, box).toFixed(1)} ${yOf(value, ticks, box).toFixed(1)}`;
    isDrawing = true;
  }
  return path;
}
