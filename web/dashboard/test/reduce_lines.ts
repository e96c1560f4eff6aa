// Reads histories of live messages, one a line, and writes the answers after each message, as the pages hold them.
// tests/web/test_live_histories.py compares them with fresh answers.
import { createInterface } from "node:readline";
import type { Answer, AnswerUpdate } from "../src/api/types";
import { applyUpdates } from "../src/live/reducer";

interface Message {
  type: string;
  answers?: AnswerUpdate[];
}

for await (const line of createInterface({ input: process.stdin })) {
  let held: Answer[] = [];
  const steps = (JSON.parse(line) as Message[]).map(({ type, answers = [] }) => {
    if (type === "snapshot") held = answers;
    if (type === "update") held = applyUpdates(held, answers);
    return held;
  });
  process.stdout.write(`${JSON.stringify(steps)}\n`);
}
