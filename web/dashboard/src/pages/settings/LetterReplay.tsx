// Replays dead letters: one, or all of a reason after a question. What the API says of each letter stays until it is closed.
import { type ReadonlySignal, useSignal } from "@preact/signals";
import { asProblem, send } from "../../api/client";
import type { Problem } from "../../api/types";
import { type ReplayedLetter, REPLAYED_MAX, replayNotes, replayQuestion, replayTotals, words } from "../../show/replays";

/** The last replay. `subject` is a letter's id, or a reason. */
export interface Replay {
  subject: string;
  title: string;
  letters: ReplayedLetter[];
  problem: Problem | null;
}

export interface Replayer {
  last: ReadonlySignal<Replay | null>;
  isBusy: ReadonlySignal<boolean>;
  replayOne: (id: string) => void;
  replayAll: (reason: string) => void;
  forget: () => void;
}

/** One replay at a time. */
export function useReplayer(): Replayer {
  const last = useSignal<Replay | null>(null);
  const isBusy = useSignal(false);
  const replay = async (subject: string, title: string, path: string, body?: unknown): Promise<void> => {
    if (isBusy.peek()) return;
    isBusy.value = true;
    try {
      const answer = await send<{ items: ReplayedLetter[] }>("POST", path, body);
      last.value = { subject, title, letters: answer.body.items, problem: null };
    } catch (error) {
      last.value = { subject, title, letters: [], problem: asProblem(error) };
    }
    isBusy.value = false;
  };
  return {
    last,
    isBusy,
    replayOne: (id) => void replay(id, "Replay of one letter", `/v1/dead-letters/${encodeURIComponent(id)}/replay`),
    replayAll: (reason) => {
      if (confirm(replayQuestion(reason))) void replay(reason, `Replay: ${words(reason)}`, "/v1/dead-letters/replay", { reason });
    },
    forget: () => (last.value = null),
  };
}

export function ReplayOutcome({ replay }: { replay: Replay }) {
  if (replay.problem) return <ReplayProblem problem={replay.problem} />;
  const { letters } = replay;
  return (
    <div class="replayed" role="status">
      <p class="strong">{replayTotals(letters)}</p>
      {letters.length > 0 && (
        <div class="table-box tall" tabIndex={0} role="region" aria-label="What became of each letter">
          <table>
            <thead>
              <tr>
                <th scope="col">Letter</th>
                <th scope="col">Result</th>
                <th scope="col">What it means</th>
              </tr>
            </thead>
            <tbody>
              {letters.slice(0, REPLAYED_MAX).map(({ id, result, detail }) => (
                <tr key={id}>
                  <td class="nowrap"><code>{id}</code></td>
                  <td class="nowrap">{words(result)}</td>
                  <td>{detail}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {replayNotes(letters).map((note) => <p key={note} class="quiet">{note}</p>)}
    </div>
  );
}

/** The API's own words. Where it is open how far the API came, the page says that a repeat does no harm. */
function ReplayProblem({ problem }: { problem: Problem }) {
  const isOpen = problem.status === 0 || problem.status >= 500;
  return (
    <div class="problem" role="alert">
      <strong>{problem.title}</strong>
      <p>{problem.detail}</p>
      {problem.hint && problem.status !== 0 && problem.hint !== problem.detail && <p class="quiet">{problem.hint}</p>}
      {isOpen && <p>Letters may have been replayed or not. Replay them again: each counts at most once.</p>}
    </div>
  );
}
