// What is seen first is asked first: before the page is drawn, and before all else that the page wants to know.
import { effect } from "@preact/signals";
import type { subscribe } from "./board";

/** The rest of the page waits so long at most; its first frame, which shows the answers if they are there, so long. */
const WAIT_MS = { questions: 1_000, frame: 150 };

let isOver: Promise<void> = Promise.resolve();

/** Until these are answered, `afterFirst` waits. Whoever shows them subscribes to the same questions. Resolves when to draw. */
export async function comeFirst(asked: ReturnType<typeof subscribe>[]): Promise<void> {
  const answered = Promise.all(asked.map(({ shown }) => untilShown(shown)));
  isOver = Promise.race([answered, after(WAIT_MS.questions)]).then(() => {});
  for (const { release } of asked) release();
  await Promise.race([answered, after(WAIT_MS.frame)]);
}

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const afterFirst = (): Promise<void> => isOver;

/** An answer, or why there is none. */
function untilShown(shown: ReturnType<typeof subscribe>["shown"]): Promise<void> {
  return new Promise((resolve) => {
    const leave = effect(() => {
      if (!shown.value.answers && !shown.value.problem) return;
      resolve();
      queueMicrotask(() => leave());
    });
  });
}
