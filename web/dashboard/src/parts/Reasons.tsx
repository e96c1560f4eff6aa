// What a page wanted to ask and could not, or not like that: the server's reason once, the numbers that it is about.
import type { Problem, Query } from "../api/types";
import { metricName } from "../show/names";
import { interval } from "../state/app";
import { type Reason, reasonOf } from "../state/ask";
import { Remedies, Words } from "./Card";

/** `queries` are those of `queryOf`, also the ones that are not asked. Why a chart has no points, the chart itself says. */
export function Reasons({ queries }: { queries: Query[] }) {
  const told = queries.filter((query) => ["all", "comparison"].includes(reasonOf(query)?.lost ?? ""));
  const coarse = queries.filter((query) => !told.includes(query) && query.interval && query.interval !== "none" && query.interval !== interval.value);
  const byDetail = new Map<string, { problem: Problem; metrics: string[] }>();
  for (const query of told) {
    const { problem } = reasonOf(query) as Reason;
    const entry = byDetail.get(problem.detail) ?? { problem, metrics: [] };
    byDetail.set(problem.detail, { problem, metrics: [...entry.metrics, query.metric] });
  }
  return (
    <>
      {[...byDetail.values()].map(({ problem, metrics }) => (
        <div class="problem" role="note" key={problem.detail}>
          <strong>{problem.title}</strong>
          <p>{metrics.length === queries.length ? "" : `${metrics.map(metricName).join(", ")}: `}<Words text={problem.detail} /></p>
          {problem.hint && <p class="quiet"><Words text={problem.hint} /></p>}
          <div class="row"><Remedies problem={problem} /></div>
        </div>
      ))}
      {coarse.length > 0 && (
        <p class="quiet note">
          {coarse.map(({ metric, interval: own }) => `${metricName(metric)} by ${own}`).join(", ")}: finer is not kept here.
        </p>
      )}
    </>
  );
}
