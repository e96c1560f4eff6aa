// Numbers and changes in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { csvOf } from "../src/show/files";
import { change, compact, duration, exact, onAxis, ratio, short } from "../src/show/numbers";

test("short numbers have three digits and are never rounded up", () => {
  const shown = [0, 9_999, 10_000, 12_345, 99_999, 999_999, 1_240_000, 5_500_000_000].map(compact);
  assert.deepEqual(shown, ["0", "9,999", "10.0k", "12.3k", "99.9k", "999k", "1.24M", "5.50B"]);
});

test("a share is 100 % or 0 % only if it is", () => {
  assert.deepEqual([0, 0.00001, 0.0342, 0.61, 0.99998, 1, 1.5].map(ratio), ["0 %", ">0 %", "3.42 %", "61.0 %", "<100 %", "100 %", "150.0 %"]);
  fc.assert(fc.property(fc.double({ min: 1e-9, max: 1 - 1e-9, noNaN: true }), (value) => !["0 %", "0.00 %", "100 %", "100.0 %"].includes(ratio(value))));
});

test("durations", () => {
  assert.deepEqual([0, 0.4, 59, 184, 3_725].map(duration), ["0s", "0.4s", "59s", "3m 04s", "1h 02m"]);
});

test("money has its currency, and tables have all of it", () => {
  assert.equal(short(21_432.5, { unit: "money", currency: "EUR" }), "€21.4k");
  assert.equal(exact(21_432.5, { unit: "money", currency: "EUR" }), "€21,432.50");
  assert.equal(exact(-3, { unit: "money", currency: "USD" }), "-$3.00");
  assert.equal(short(null, { unit: "count" }), "–");
});

test("an axis has no zeros after the point", () => {
  const money = { unit: "money", currency: "EUR" } as const;
  assert.deepEqual([0, 2.5, 40_000, 1_500_000].map((tick) => onAxis(tick, money)), ["€0", "€2.50", "€40k", "€1.50M"]);
  assert.deepEqual([0.1, 0.125].map((tick) => onAxis(tick, { unit: "ratio" })), ["10 %", "12.5 %"]);
});

test("changes: percentage points for shares, new from nothing, never infinite", () => {
  const words = (now: number, before: number, unit: "count" | "ratio" = "count") => change(now, before, unit)?.text;
  assert.equal(words(112.4, 100), "▲ 12.4 %");
  assert.equal(words(0.25, 0.271, "ratio"), "▼ 2.1 pp");
  assert.equal(words(5, 0), "new");
  assert.equal(words(0, 0), "±0");
  assert.equal(words(100, 1), "▲ >999 %");
  assert.equal(words(100.01, 100), "±0");
  assert.equal(change(5, null, "count"), null);
});

test("a CSV cell that a spreadsheet would run is text", () => {
  assert.equal(csvOf([["a", "=1+1", 'say "x", y', null, -3]]), 'a,\'=1+1,"say ""x"", y",,-3\r\n');
});
