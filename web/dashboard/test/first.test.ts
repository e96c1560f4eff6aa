// What is seen first is asked first, and the rest of a page waits for it, but not for long.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { signal } from "@preact/signals";
import type { Asked } from "../src/live/board";
import { afterFirst, comeFirst } from "../src/live/first";

const none: Asked = { answers: null, problem: null };
const asked = () => ({ shown: signal<Asked>(none), release: () => {} });
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
};

function noting(promise: Promise<void>): { isDone: boolean } {
  const note = { isDone: false };
  void promise.then(() => (note.isDone = true));
  return note;
}

beforeEach(() => mock.timers.enable({ apis: ["setTimeout"] }));
afterEach(() => mock.timers.reset());

test("the rest waits until all that comes first is answered, or refused", async () => {
  const [tiles, now] = [asked(), asked()];
  const [frame, rest] = [noting(comeFirst([tiles, now])), noting(afterFirst())];
  tiles.shown.value = { answers: [], problem: null };
  await settle();
  assert.deepEqual([frame.isDone, rest.isDone], [false, false]);
  now.shown.value = { answers: null, problem: { type: "", title: "", status: 422, detail: "" } };
  await settle();
  assert.deepEqual([frame.isDone, rest.isDone], [true, true]);
});

test("without an answer the frame comes after a moment, and the rest after a second", async () => {
  const [frame, rest] = [noting(comeFirst([asked()])), noting(afterFirst())];
  mock.timers.tick(150);
  await settle();
  assert.deepEqual([frame.isDone, rest.isDone], [true, false]);
  mock.timers.tick(850);
  await settle();
  assert.equal(rest.isDone, true);
});
