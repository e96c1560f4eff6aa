// Arithmetic of charts, and the rate of events.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Answer } from "../src/api/types";
import { RateMeter } from "../src/live/rate";
import { indexAt, pathOf, thinned, ticksFor, xOf } from "../src/parts/chart-scale";

const BOX = { left: 50, top: 0, width: 400, height: 100 };

test("ticks begin at 0 or below, are round, and reach the greatest value", () => {
  assert.deepEqual(ticksFor(0, 1_300, 4), [0, 500, 1_000, 1_500]);
  assert.deepEqual(ticksFor(0, 0, 4).at(-1), 1);
  assert.deepEqual(ticksFor(0, 400, 4, "time"), [0, 120, 240, 360, 480]);
  assert.deepEqual(ticksFor(0, 1, 4, "whole"), [0, 1]);
  fc.assert(
    fc.property(fc.integer({ min: -1e6, max: 0 }), fc.integer({ min: 0, max: 1e12 }), (least, tenth) => {
      const most = tenth / 10;
      const ticks = ticksFor(least, most, 4);
      assert.ok((ticks[0] ?? 1) <= least && (ticks.at(-1) ?? 0) >= most * 0.999999 && ticks.length < 12, `${ticks}`);
    }),
  );
});

test("a point is found again where it is drawn", () => {
  for (const count of [1, 2, 31, 1_440]) {
    for (const index of [0, Math.floor(count / 2), count - 1]) assert.equal(indexAt(xOf(index, count, BOX), count, BOX), index);
  }
});

test("30,000 points are thinned to two a pixel, and peaks stay", () => {
  const values = Array.from({ length: 30_000 }, (_, index) => (index === 12_345 ? 999 : index % 7));
  const kept = thinned(values, 400);
  assert.ok(kept.length <= 802);
  assert.ok(kept.includes(12_345));
});

test("a null is a gap", () => {
  assert.equal(pathOf([1, null, 2, 3], 4, [0, 5], BOX).match(/M/g)?.length, 2);
});

const sample = (second: number, values: number[]): Answer =>
  ({
    meta: { as_of: new Date(1_000 * (1_800_000_000 + second)).toISOString() },
    results: [{ points: values.map((value, index) => [`m${index}`, value]) }],
  }) as unknown as Answer;

test("events a second: what was added between two moments; a window that moves never makes it negative", () => {
  const meter = new RateMeter();
  assert.equal(meter.add(sample(0, [60, 120, 10])), 2);
  assert.equal(meter.add(sample(5, [60, 120, 60])), 10);
  const rate = meter.add(sample(10, [0, 0, 0]));
  assert.equal(rate, 0);
});
