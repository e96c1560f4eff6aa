// Lengths of sessions, from the server's fine buckets to ranges that people use. Pure.

export interface LengthBucket {
  from_seconds: number;
  to_seconds: number | null;
  sessions: number;
}

export interface LengthRange {
  name: string;
  sessions: number;
}

/** Each range ends before its second number. A session of one event has the length 0. */
const RANGES: [string, number][] = [
  ["0 s", 0.001],
  ["under 10 s", 10],
  ["10–30 s", 30],
  ["30–60 s", 60],
  ["1–3 min", 180],
  ["3–10 min", 600],
  ["10–30 min", 1_800],
  ["30–60 min", 3_600],
  ["over an hour", Number.POSITIVE_INFINITY],
];

/** A bucket belongs to the range of its middle: it is a tenth wide, so a border is off by 5 % at most. */
export function rangesOf(buckets: LengthBucket[]): LengthRange[] {
  const ranges = RANGES.map(([name]) => ({ name, sessions: 0 }));
  for (const { from_seconds: from, to_seconds: to, sessions } of buckets) {
    const middle = Math.sqrt(from * (to ?? from));
    const range = ranges[RANGES.findIndex(([, end]) => middle < end)];
    if (range) range.sessions += sessions;
  }
  return ranges;
}
