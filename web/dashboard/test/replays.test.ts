// Replays in words: the question names the reason, the answer counts every letter.
import assert from "node:assert/strict";
import { test } from "node:test";
import { REPLAYED_MAX, type ReplayedLetter, replayNotes, replayQuestion, replayTotals } from "../src/show/replays";

const letters = (...results: string[]): ReplayedLetter[] =>
  results.map((result, offset) => ({ id: `rta.events.web:0:${offset}`, result, detail: "" }));

test("the question says which letters, how many at most, and that the period does not matter", () => {
  const question = replayQuestion("time_in_future");
  for (const part of ['"time in future"', "1,000 letters", "whatever period"]) assert.ok(question.includes(part), part);
});

test("the totals count every letter by its result", () => {
  assert.equal(replayTotals(letters("replayed", "not_replayable", "replayed")), "3 letters: 2 replayed, 1 not replayable.");
  assert.equal(replayTotals(letters("incomplete")), "1 letter: 1 incomplete.");
  assert.equal(replayTotals([]), "There was no such letter to replay.");
});

test("the notes: what was replayed stays listed, and a full call leaves older letters", () => {
  assert.deepEqual(replayNotes(letters("incomplete")), []);
  assert.equal(replayNotes(letters("replayed")).length, 1);
  const full = replayNotes(letters(...Array<string>(REPLAYED_MAX).fill("replayed")));
  assert.match(full.join(" "), /at most 1,000 letters/);
});
