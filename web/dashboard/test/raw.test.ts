// The raw text of an event, with indents.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { indentJson } from "../src/show/raw";

test("JSON gets indents as JSON.stringify writes them", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      assert.equal(indentJson(JSON.stringify(value)), JSON.stringify(value, null, 2));
    }),
  );
});

test("numbers, texts and repeated keys stay as they were written", () => {
  const raw = '{"n": 12345678901234567890, "a":1e400,"a": "<b>\\u0041, {x}: \\"</b>", "e": [ ], "o":{ }}';
  assert.equal(indentJson(raw), '{\n  "n": 12345678901234567890,\n  "a": 1e400,\n  "a": "<b>\\u0041, {x}: \\"</b>",\n  "e": [],\n  "o": {}\n}');
});

test("what is no JSON comes back as it is, and deep JSON stays small", () => {
  for (const raw of ["", "{", '{"a": 1', "not json", "{} {}"]) assert.equal(indentJson(raw), raw);
  assert.ok(indentJson("[".repeat(4_000) + "]".repeat(4_000)).length < 1_000_000);
});
