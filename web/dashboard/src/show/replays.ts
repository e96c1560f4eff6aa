// Replays of dead letters in words: the question before, the answer after. Pure.
import { plural } from "./numbers";

/** The API replays at most so many letters in one call, the newest. */
export const REPLAYED_MAX = 1_000;

/** What became of one letter, as the API says it. */
export interface ReplayedLetter {
  id: string;
  result: string;
  detail: string;
}

export const words = (name: string): string => name.replace(/_/g, " ");

export const replayQuestion = (reason: string): string =>
  `Replay all dead letters with the reason "${words(reason)}"? ` +
  `The newest ${plural(REPLAYED_MAX, "letter")} that are kept are written into the log again, whatever period the page shows. ` +
  "Mend the cause first: what is still wrong becomes a dead letter again. Each letter counts at most once, however often it is replayed.";

/** `3 letters: 2 replayed, 1 incomplete`, in the order in which the results come first. */
export function replayTotals(letters: ReplayedLetter[]): string {
  if (!letters.length) return "There was no such letter to replay.";
  const counts = new Map<string, number>();
  for (const { result } of letters) counts.set(result, (counts.get(result) ?? 0) + 1);
  const parts = [...counts].map(([result, count]) => `${count.toLocaleString("en")} ${words(result)}`);
  return `${plural(letters.length, "letter")}: ${parts.join(", ")}.`;
}

/** What the results do not say by themselves. */
export function replayNotes(letters: ReplayedLetter[]): string[] {
  const notes: string[] = [];
  if (letters.some(({ result }) => result === "replayed")) notes.push("A letter that was replayed stays in the list until the log's retention removes it.");
  if (letters.length >= REPLAYED_MAX) notes.push(`One call replays at most ${plural(REPLAYED_MAX, "letter")}. Older ones are replayed one by one.`);
  return notes;
}
