// Lengths of sessions in ranges, and hours of the week.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Point } from "../src/api/types";
import { rangesOf } from "../src/show/lengths";
import { meansOfWeek, weekFrom } from "../src/show/week";

const counts = (ranges: ReturnType<typeof rangesOf>) => Object.fromEntries(ranges.filter(({ sessions }) => sessions).map(({ name, sessions }) => [name, sessions]));

test("lengths fall into the range of their bucket's middle", () => {
  const buckets = [
    { from_seconds: 0, to_seconds: 0.001, sessions: 40 },
    { from_seconds: 0.002, to_seconds: 0.003, sessions: 1 },
    { from_seconds: 61.7, to_seconds: 67.8, sessions: 12 },
    { from_seconds: 2_629_000, to_seconds: null, sessions: 2 },
  ];
  assert.deepEqual(counts(rangesOf(buckets)), { "0 s": 40, "under 10 s": 1, "1–3 min": 12, "over an hour": 2 });
});

test("no session is lost in the ranges", () => {
  const bucket = fc.tuple(fc.double({ min: 0, max: 1e7, noNaN: true }), fc.nat(9)).map(([from, sessions]) => ({ from_seconds: from, to_seconds: from * 1.1 + 0.001, sessions }));
  const sum = (numbers: { sessions: number }[]): number => numbers.reduce((total, { sessions }) => total + sessions, 0);
  fc.assert(fc.property(fc.array(bucket), (buckets) => sum(rangesOf(buckets)) === sum(buckets)));
});

test("an hour of the week has the mean of such hours, by its own offset", () => {
  const points: Point[] = [["2026-11-23T09:00:00+01:00", 4], ["2026-11-30T09:00:00+01:00", 2], ["2026-11-29T23:00:00+01:00", 7]];
  const means = meansOfWeek(points);
  assert.equal(means[0]?.[9], 3);
  assert.equal(means[6]?.[23], 7);
  assert.equal(means[0]?.[10], null);
});

test("the hour that occurs twice in autumn counts as two hours", () => {
  const points: Point[] = [["2026-10-25T02:00:00+02:00", 6], ["2026-10-25T02:00:00+01:00", 2]];
  assert.equal(meansOfWeek(points)[6]?.[2], 4);
});

test("the week begins where the project's does", () => {
  assert.deepEqual(weekFrom("monday"), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(weekFrom("sunday"), [6, 0, 1, 2, 3, 4, 5]);
  assert.deepEqual(weekFrom("?"), [0, 1, 2, 3, 4, 5, 6]);
});
