// Steps from a view to an order: how many, and which share goes on. Steps count events, so a share may exceed 100 %.
import { ratio } from "../show/numbers";
import { metricName } from "../show/names";
import type { Total } from "../api/types";
import { Delta, Value } from "./Value";

export interface Step extends Total {
  metric: string;
}

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
