// Engagement: how many come, how many come back, how long they stay, and when they come.
import { useSignal } from "@preact/signals";
import type { Answer, Query } from "../api/types";
import { useAnswers } from "../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { FilterBar } from "../parts/FilterBar";
import { isOpenBucket, MetricChart, saveCsv, ToolButton } from "../parts/MetricChart";
import { Spark } from "../parts/Spark";
import { TimeChart } from "../parts/TimeChart";
import { Delta, Value } from "../parts/Value";
import { span } from "../show/times";
import { metricName } from "../show/names";
import { go, interval, metrics, view } from "../state/app";
import { canAsk, isRefused, queryOf } from "../state/ask";
import { Retention } from "./engagement/Retention";
import { SessionLengths } from "./engagement/SessionLengths";
import { WhenActive } from "./engagement/WhenActive";

const ACTIVE = ["active_users", "weekly_active_users", "monthly_active_users"];
const DAILY = [...ACTIVE, "stickiness", "new_visitors"];
const SESSIONS = ["sessions_per_visitor", "events_per_session", "bounce_rate", "session_duration", "session_duration_median", "session_duration_p95"];
const PERIOD = { from: "-28d", to: "now", interval: "day" };

const isDaily = (): boolean => ["day", "week", "month"].includes(interval.value);

/** Numbers of days need days: over a shorter period the last 28 days are shown. */
const dailyQuery = (metric: string): Query => queryOf(metric, { ...(isDaily() ? { interval: interval.value } : PERIOD), filters: {} });

export default function Engagement() {
  const daily = DAILY.filter((name) => metrics.value.has(name)).map(dailyQuery);
  const people = useAnswers(daily);
  const sessionQueries = SESSIONS.filter((name) => metrics.value.has(name) && canAsk(name))
    .map((name) => queryOf(name, { interval: metrics.value.get(name)?.intervals.includes(interval.value) ? interval.value : "hour" }))
    .filter((query) => !isRefused(query));
  const sessions = useAnswers(sessionQueries);
  const chosen = sessionQueries.find(({ metric }) => metric === view.value.metric) ?? sessionQueries.find(({ metric }) => metric === "session_duration") ?? sessionQueries[0];
  return (
    <div class="page">
      <h1 class="hidden">Engagement</h1>
      <FilterBar />
      {!isDaily() && <p class="quiet note">Active users are numbers of days: they are shown for the last 28 days. Sessions are those of the chosen period.</p>}
      {Object.keys(view.value.filters).length > 0 && <p class="quiet note">Active users and retention are kept for all persons: the filters do not apply to them.</p>}
      <div class="tiles five">
        {daily.map(({ metric }) => <EngagementTile key={metric} answer={people.answers?.find((one) => one.metric === metric)} metric={metric} isOld={people.isOld} />)}
      </div>
      <ActiveUsers answers={people.answers ?? []} problem={people.problem} isOld={people.isOld} />
      <div class="tiles six">
        {sessionQueries.map(({ metric }) => (
          <EngagementTile key={metric} answer={sessions.answers?.find((one) => one.metric === metric)} metric={metric} isOld={sessions.isOld} chosen={chosen?.metric === metric} choose={() => go({ metric }, true)} />
        ))}
      </div>
      {chosen && <MetricChart query={chosen} answer={sessions.answers?.find(({ metric }) => metric === chosen.metric)} shown={sessions} height={220} />}
      <div class="pair wide-first">
        <Retention />
        <SessionLengths />
      </div>
      <WhenActive />
    </div>
  );
}

interface EngagementTileProps {
  metric: string;
  answer: Answer | undefined;
  isOld: boolean;
  chosen?: boolean;
  choose?: () => void;
}

function EngagementTile({ metric, answer, isOld, chosen, choose }: EngagementTileProps) {
  const row = answer?.results[0];
  const content = (
    <>
      <span class="tile-name">{metricName(metric)}</span>
      <span class="tile-value">{answer && row ? <Value value={row.total} unit={answer.unit} currency={answer.currency} error={answer.meta.error} /> : <Skeleton />}</span>
      <span class="tile-foot">
        {answer && row && <Spark points={row.points} isOpen={isOpenBucket(answer)} />}
        {answer && row && <Delta metric={metric} now={row.total} before={row.previous} unit={answer.unit} />}
      </span>
    </>
  );
  const shared = { class: `tile ${isOld ? "is-old" : ""}`, title: metrics.value.get(metric)?.description, "data-metric": metric, "data-as-of": answer?.meta.as_of };
  return choose ? <button type="button" {...shared} aria-pressed={chosen} onClick={choose}>{content}</button> : <div {...shared}>{content}</div>;
}

/** Day, 7 days and 30 days in one picture: switched on and off, each with its own colour. */
function ActiveUsers({ answers, problem, isOld }: { answers: Answer[]; problem: Parameters<typeof ProblemNote>[0]["problem"] | null; isOld: boolean }) {
  const hidden = useSignal<string[]>([]);
  const asTable = useSignal(false);
  const own = ACTIVE.map((name) => answers.find(({ metric }) => metric === name)).filter((answer) => answer !== undefined);
  const first = own[0];
  const series = own.map((answer, color) => ({ name: metricName(answer.metric), color, metric: answer.metric, values: answer.results[0]?.points.map(([, value]) => value) ?? [] })).filter(({ metric }) => !hidden.value.includes(metric));
  const toggle = (metric: string): void => {
    hidden.value = hidden.value.includes(metric) ? hidden.value.filter((one) => one !== metric) : [...hidden.value, metric];
  };
  return (
    <Card
      label="Active users"
      class="chart-card"
      title="Active users"
      isOld={isOld}
      tools={
        <>
          <div class="tabs">
            {ACTIVE.map((name, color) => (
              <button type="button" key={name} class={`c${color}`} aria-pressed={!hidden.value.includes(name)} onClick={() => toggle(name)}>
                <i class="key" /> {metricName(name)}
              </button>
            ))}
          </div>
          <ToolButton icon={asTable.value ? "chart" : "table"} title={asTable.value ? "Show the chart" : "Show the table"} act={() => (asTable.value = !asTable.value)} />
          <ToolButton icon="download" title="Save as CSV" act={() => own.map((answer) => saveCsv(answer))} />
        </>
      }
    >
      <div class="chart-box" style={{ minHeight: "260px" }}>
        {problem && !first ? (
          <ProblemNote problem={problem} />
        ) : !first ? (
          <Skeleton rows={5} />
        ) : series.length ? (
          <TimeChart
            unit="count"
            times={first.results[0]?.points.map(([time]) => time) ?? []}
            interval={first.interval}
            series={series}
            isOpen={isOpenBucket(first)}
            asTable={asTable.value}
            summary={`Active users by ${first.interval}, ${span(first.from, first.to)}.`}
          />
        ) : (
          <Empty>All three lines are switched off.</Empty>
        )}
      </div>
    </Card>
  );
}

