// Snapshot + updates = the answer. The same rules as the Python client's; tests/golden proves both against the hub.
import type { Answer, AnswerUpdate, Point, Result } from "../api/types";

export function keyOf(dimensions: Record<string, string>): string {
  return JSON.stringify(Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Merges updates into the answers of a subscription; `index` says which answer an update is about. */
export function applyUpdates(answers: Answer[], updates: AnswerUpdate[]): Answer[] {
  const byIndex = new Map(updates.map((update) => [update.index, update]));
  return answers.map((answer, index) => {
    const update = byIndex.get(index);
    return update ? applyUpdate(answer, update) : answer;
  });
}

/** Rows that are removed go, kept rows are merged, new rows follow; `order` says where that is not the order. */
export function applyUpdate(answer: Answer, update: AnswerUpdate): Answer {
  const { removed = [], results: changed, index: _, order, ...fields } = update;
  const gone = new Set(removed.map(keyOf));
  const changes = new Map(changed.map((result) => [keyOf(result.dimensions), result]));
  const known = new Set(answer.results.map((result) => keyOf(result.dimensions)));
  const start = Date.parse(update.from);
  const kept = answer.results
    .filter((result) => !gone.has(keyOf(result.dimensions)))
    .map((result) => mergeResult(result, changes.get(keyOf(result.dimensions)), start));
  const results = [...kept, ...changed.filter((result) => !known.has(keyOf(result.dimensions)))];
  return { ...fields, results: order ? order.map((place) => results[place] as Result) : results };
}

/** The window moves: points before its start go, the others are merged by time. */
function mergeResult(result: Result, change: Result | undefined, start: number): Result {
  const kept = result.points.filter(([time]) => Date.parse(time) >= start);
  if (!change) return kept.length === result.points.length ? result : { ...result, points: kept };
  return { ...change, points: mergePoints(kept, change.points) };
}

function mergePoints(kept: Point[], changed: Point[]): Point[] {
  const byTime = new Map<number, Point>();
  for (const point of kept) byTime.set(Date.parse(point[0]), point);
  for (const point of changed) byTime.set(Date.parse(point[0]), point);
  return [...byTime.entries()].sort(([a], [b]) => a - b).map(([, point]) => point);
}
