// Engagement: how many come, how many come back, how long they stay, and when they come.
import type { Answer, Query } from "../api/types";
import { type Shown, useAnswers } from "../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { FilterBar } from "../parts/FilterBar";
import { CopyTools, useTable } from "../parts/CopyTools";
import { aboutOf, fileOf, isOpenBucket, MetricChart } from "../parts/MetricChart";
import { Reasons } from "../parts/Reasons";
import { MetricTile } from "../parts/Tile";
import { type ChartProps, TimeChart } from "../parts/TimeChart";
import { curlOfAll, sheetOfSeries } from "../show/files";
import { metricName } from "../show/names";
import { pictureOf } from "../show/picture";
import { span } from "../show/times";
import { interval, metrics, project, toggleRow, view } from "../state/app";
import { canAsk, isRefused, queryOf } from "../state/ask";
import { Retention } from "./engagement/Retention";
import { SessionLengths } from "./engagement/SessionLengths";
import { WhenActive } from "./engagement/WhenActive";

const ACTIVE = ["active_users", "weekly_active_users", "monthly_active_users"];
const DAILY = [...ACTIVE, "stickiness", "new_visitors"];
const SESSIONS = ["sessions_per_visitor", "events_per_session", "bounce_rate", "session_duration", "session_duration_median", "session_duration_p95"];
const PERIOD = { from: "-28d", to: "now", interval: "day" };

const isDaily = (): boolean => ["day", "week", "month"].includes(interval.value);

/** Numbers of days need days, of the project's zone: over a shorter period the last 28 days are shown. */
const dailyQuery = (metric: string): Query =>
  queryOf(metric, { ...(isDaily() ? { interval: interval.value } : PERIOD), timezone: "", filters: {} });

export default function Engagement() {
  const daily = DAILY.filter((name) => metrics.value.has(name)).map(dailyQuery);
  const people = useAnswers(daily);
  const wanted = SESSIONS.filter((name) => metrics.value.has(name) && canAsk(name))
    .map((name) => queryOf(name, { interval: metrics.value.get(name)?.intervals.includes(interval.value) ? interval.value : "hour" }));
  const sessionQueries = wanted.filter((query) => !isRefused(query));
  const sessions = useAnswers(sessionQueries);
  const chosen = sessionQueries.find(({ metric }) => metric === view.value.metric) ?? sessionQueries.find(({ metric }) => metric === "session_duration") ?? sessionQueries[0];
  const isForeign = view.value.timezone !== "" && view.value.timezone !== project.value?.zone;
  return (
    <div class="page">
      <h1 class="hidden">Engagement</h1>
      <FilterBar />
      {!isDaily() && <p class="quiet note">Active users are numbers of days: they are shown for the last 28 days. Sessions are those of the chosen period.</p>}
      {Object.keys(view.value.filters).length > 0 && <p class="quiet note">Active users and retention are kept for all persons: the filters do not apply to them.</p>}
      {isForeign && <p class="quiet note">Active users and retention are numbers of days in {project.value?.zone.replace(/_/g, " ")}, the zone of the project. Days of other zones are not kept.</p>}
      <div class="tiles five">
        {daily.map((query) => <MetricTile key={query.metric} query={query} shown={people} hasChart={false} />)}
      </div>
      <ActiveUsers queries={daily.filter(({ metric }) => ACTIVE.includes(metric))} shown={people} />
      <Reasons queries={wanted} />
      <div class="tiles six">
        {sessionQueries.map((query) => <MetricTile key={query.metric} query={query} shown={sessions} isChosen={chosen?.metric === query.metric} />)}
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

/** Day, 7 days and 30 days in one picture: switched on and off, each with its own colour. */
function ActiveUsers({ queries, shown }: { queries: Query[]; shown: Shown }) {
  const { hidden } = view.value;
  const asTable = useTable();
  const own = ACTIVE.map((name) => shown.answers?.find(({ metric }) => metric === name)).filter((answer) => answer !== undefined);
  const first = own[0];
  const chart = first && chartOfActive(own, hidden);
  return (
    <Card
      label="Active users"
      class="chart-card"
      title="Active users"
      isOld={shown.isOld}
      tools={
        <>
          <div class="tabs">
            {ACTIVE.map((name, color) => (
              <button type="button" key={name} class={`c${color}`} aria-pressed={!hidden.includes(name)} onClick={() => toggleRow(name)}>
                <i class="key" /> {metricName(name)}
              </button>
            ))}
          </div>
          <CopyTools
            file={first ? fileOf({ metric: "active_users" }, first) : "active_users"}
            curl={curlOfAll(queries)}
            asTable={asTable}
            picture={chart && (() => pictureOf(chart, `Active users by ${chart.interval}`, aboutOf(first)))}
            sheet={first && (() => sheetOfSeries(own))}
          />
        </>
      }
    >
      <div class="chart-box" style={{ minHeight: "260px" }}>
        {shown.problem && !first ? (
          <ProblemNote problem={shown.problem} />
        ) : !chart ? (
          <Skeleton rows={5} />
        ) : chart.series.length ? (
          <TimeChart {...chart} asTable={asTable.value} />
        ) : (
          <Empty>All three lines are switched off.</Empty>
        )}
      </div>
    </Card>
  );
}

function chartOfActive(answers: Answer[], hidden: string[]): ChartProps | undefined {
  const [first] = answers;
  if (!first) return undefined;
  return {
    unit: "count",
    times: first.results[0]?.points.map(([time]) => time) ?? [],
    interval: first.interval,
    series: answers
      .map(({ metric, results }, color) => ({ name: metricName(metric), metric, color, values: results[0]?.points.map(([, value]) => value) ?? [] }))
      .filter(({ metric }) => !hidden.includes(metric)),
    isOpen: isOpenBucket(first),
    summary: `Active users by ${first.interval}, ${span(first.from, first.to)}.`,
  };
}
