// Steps from a view to an order: how many, and which share goes on. Steps count events, so a share may exceed 100 %.
import { exact, ratio } from "../show/numbers";
import { metricName } from "../show/names";
import type { Answer, Query, Total } from "../api/types";
import { type Cell, curlOfAll, fileName, type Sheet } from "../show/files";
import { pictureOfBars } from "../show/picture-rows";
import { hidesMoney } from "../state/app";
import { CopyTools } from "./CopyTools";
import { aboutOf } from "./MetricChart";
import { Delta, Value } from "./Value";

export interface Step extends Total {
  metric: string;
}

export const stepsOf = (answers: Answer[]): Step[] =>
  answers.map((answer) => ({
    metric: answer.metric, unit: answer.unit, currency: answer.currency ?? "", error: answer.meta.error,
    total: answer.results[0]?.total ?? null, previous: answer.results[0]?.previous ?? null,
  }));

export function Funnel({ steps, chosen, choose }: { steps: Step[]; chosen?: string; choose?: (metric: string) => void }) {
  const most = Math.max(...steps.map(({ total }) => total ?? 0), 1);
  return (
    <ol class="funnel">
      {steps.map((step, index) => {
        const before = steps[index - 1]?.total;
        const share = index && before ? (step.total ?? 0) / before : null;
        return (
          <li key={step.metric}>
            <button type="button" class="funnel-step" aria-pressed={choose ? step.metric === chosen : undefined} disabled={!choose} onClick={() => choose?.(step.metric)}>
              <span class="tile-name">{metricName(step.metric)}</span>
              <span class="tile-value">
                <Value value={step.total} unit={step.unit} currency={step.currency} error={step.error} />
              </span>
              <span class="funnel-bar"><i style={{ width: `${((step.total ?? 0) / most) * 100}%` }} /></span>
              <span class="funnel-foot">
                <span class="quiet">{share === null ? (index ? "–" : "start") : `${ratio(share)} go on`}</span>
                <Delta metric={step.metric} now={step.total} before={step.previous} unit={step.unit} />
              </span>
            </button>
          </li>
        );
      })}
    </ol>
  );
}

/** Money is no step: it is left out of the picture. */
export function FunnelTools({ queries, answers, file }: { queries: Query[]; answers: Answer[] | null; file: string }) {
  const first = answers?.[0];
  const shown = first && answers.filter(({ unit }) => unit !== "money" || !hidesMoney.value);
  return (
    <CopyTools
      file={fileName(file, first?.from.slice(0, 16), first?.to.slice(0, 16))}
      curl={curlOfAll(queries)}
      picture={shown && (() => pictureOfBars(barsOf(stepsOf(shown)), "From view to order", aboutOf(first, queries[0]?.filters)))}
      sheet={shown && (() => sheetOfSteps(first, stepsOf(shown)))}
    />
  );
}

function barsOf(steps: Step[]) {
  const counts = steps.filter(({ unit }) => unit === "count");
  const most = Math.max(...counts.map(({ total }) => total ?? 0), 1);
  return counts.map((step) => ({ name: metricName(step.metric), value: exact(step.total, step), share: (step.total ?? 0) / most }));
}

const sheetOfSteps = ({ from, to, timezone }: Answer, steps: Step[]): Sheet => ({
  head: ["time", "timezone", "metric", "total", "before"],
  rows: steps.map(({ metric, total, previous }): Cell[] => [`${from}/${to}`, timezone, metric, total, previous]),
});
