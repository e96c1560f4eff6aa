// Snapshot + updates = the fresh answer: by the hub's own messages (golden), and over random windows.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Answer, AnswerUpdate, Point, Result } from "../src/api/types";
import { applyUpdates, keyOf } from "../src/live/reducer";

declare const GOLDEN: string;

const START = Date.parse("2026-11-29T10:00:00Z");
const iso = (minute: number): string => new Date(START + minute * 60_000).toISOString();

function answer(from: number, length: number, values: Map<string, number[]>): Answer {
  const results: Result[] = [...values.entries()].map(([source, list]) => ({
    dimensions: { source },
    total: list.slice(from, from + length).reduce((sum, value) => sum + value, 0),
    previous: null,
    points: list.slice(from, from + length).map((value, index): Point => [iso(from + index), value]),
  }));
  results.sort((a, b) => (b.total ?? 0) - (a.total ?? 0) || (keyOf(a.dimensions) < keyOf(b.dimensions) ? -1 : 1));
  const meta = { as_of: iso(from + length), lag_ms: 1, complete: true, exact: true, error: 0 } as Answer["meta"];
  return { metric: "events", unit: "count", from: iso(from), to: iso(from + length), interval: "minute", timezone: "UTC", results, meta };
}

/** What the hub sends: whole totals, only changed points, rows that went, and the order. */
function updateOf(before: Answer, after: Answer, index: number): AnswerUpdate {
  const old = new Map(before.results.map((row) => [keyOf(row.dimensions), row]));
  const fresh = new Set(after.results.map((row) => keyOf(row.dimensions)));
  const results = after.results.flatMap((row) => {
    const was = old.get(keyOf(row.dimensions));
    if (!was) return [row];
    const known = new Map(was.points);
    const points = row.points.filter(([time, value]) => known.get(time) !== value);
    return points.length || row.total !== was.total ? [{ ...row, points }] : [];
  });
  const removed = before.results.filter((row) => !fresh.has(keyOf(row.dimensions))).map((row) => row.dimensions);
  const kept = before.results.filter((row) => fresh.has(keyOf(row.dimensions)));
  const merged = [...kept, ...after.results.filter((row) => !old.has(keyOf(row.dimensions)))].map((row) => keyOf(row.dimensions));
  const order = after.results.map((row) => merged.indexOf(keyOf(row.dimensions)));
  return { ...after, results, removed, index, order };
}

const rows = fc.dictionary(fc.constantFrom("web", "ios", "android", "server"), fc.array(fc.nat(9), { minLength: 40, maxLength: 40 }));

test("a snapshot and an update are the fresh answer, while the window moves and rows come and go", () => {
  fc.assert(
    fc.property(rows, rows, fc.nat(10), fc.nat(10), (one, two, from, shift) => {
      const before = answer(from, 20, new Map(Object.entries(one)));
      const after = answer(from + shift, 20, new Map(Object.entries(two)));
      assert.deepEqual(applyUpdates([before, before], [updateOf(before, after, 1)]), [before, after]);
    }),
  );
});

test("an answer that the update does not name stays the same object", () => {
  const one = answer(0, 5, new Map([["web", [1, 2, 3, 4, 5]]]));
  const [first, second] = applyUpdates([one, one], [updateOf(one, answer(0, 5, new Map([["web", [9, 2, 3, 4, 5]]])), 1)]);
  assert.equal(first, one);
  assert.equal(second?.results[0]?.total, 23);
});

interface Golden {
  about: string;
  steps: { message: { type: string; answers?: AnswerUpdate[] }; answers: Answer[] }[];
}

const LIVE = join(GOLDEN, "live");

for (const name of readdirSync(LIVE).filter((file) => file.endsWith(".json"))) {
  const { about, steps } = JSON.parse(readFileSync(join(LIVE, name), "utf8")) as Golden;
  test(`${name}: ${about}`, () => {
    let held: Answer[] = [];
    for (const { message, answers } of steps) {
      if (message.type === "snapshot") held = message.answers ?? [];
      if (message.type === "update") held = applyUpdates(held, message.answers ?? []);
      assert.deepEqual(held, answers);
    }
    assert.ok(steps.length > 0);
  });
}
