// Events a second, from the minutes of the last hour: what was added between two moments, over their distance.
import type { Answer } from "../api/types";

interface Sample {
  at: number;
  minutes: Map<string, number>;
}

const SPAN_MS = 5_000;
const SAMPLES_MAX = 60;

export class RateMeter {
  private samples: Sample[] = [];

  /** Takes an answer of `events` by minute; returns the rate, or null while nothing can be said. Never below 0. */
  add(answer: Answer): number | null {
    const at = Date.parse(answer.meta.as_of ?? "");
    const points = answer.results[0]?.points ?? [];
    if (Number.isNaN(at) || !points.length) return null;
    const newest = this.samples[this.samples.length - 1];
    if (!newest || at > newest.at) this.samples.push({ at, minutes: new Map(points.map(([time, value]) => [time, value ?? 0])) });
    this.samples = this.samples.slice(-SAMPLES_MAX);
    while (this.samples.length > 2 && at - (this.samples[1] as Sample).at >= SPAN_MS) this.samples.shift();
    const [first, last] = [this.samples[0], this.samples[this.samples.length - 1]];
    if (!first || !last || last.at - first.at < 900) return lastMinute(answer);
    let added = 0;
    for (const [time, value] of last.minutes) added += Math.max(0, value - (first.minutes.get(time) ?? 0));
    return added / ((last.at - first.at) / 1000);
  }
}

/** Before there are two moments: the last whole minute. */
function lastMinute(answer: Answer): number | null {
  const points = answer.results[0]?.points ?? [];
  const whole = points[points.length - 2];
  return whole ? (whole[1] ?? 0) / 60 : null;
}
