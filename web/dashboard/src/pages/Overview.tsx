// Overview: tiles, the chosen tile over time, ranked lists, hot products, what has just happened.
import { useRef } from "preact/hooks";
import type { Answer, Query } from "../api/types";
import { RateMeter } from "../live/rate";
import { type Shown, useAnswers } from "../live/use";
import { FilterBar } from "../parts/FilterBar";
import { filtersInWords, isOpenBucket, MetricChart } from "../parts/MetricChart";
import { Skeleton } from "../parts/Card";
import { FirstEvent } from "../parts/FirstEvent";
import { Spark } from "../parts/Spark";
import { Delta, Value } from "../parts/Value";
import { metricName } from "../show/names";
import { go, hidesMoney, interval, isWall, metrics, view } from "../state/app";
import { canAsk, isRefused, queryOf } from "../state/ask";
import { HotProducts } from "./overview/HotProducts";
import { JustHappened } from "./overview/JustHappened";
import { Lists } from "./overview/Lists";
import { WallHead } from "./overview/WallHead";

const TILES = ["visitors", "sessions", "page_views", "orders", "revenue", "conversion_rate"];
const HOUR = { from: "-60m", to: "now", interval: "minute", compare: "" };

function tileQueries(): Query[] {
  const isShown = (name: string): boolean => canAsk(name) && !(hidesMoney.value && metrics.value.get(name)?.unit === "money");
  return TILES.filter(isShown)
    .map((name) => queryOf(name, { interval: interval.value }))
    .filter((query) => !isRefused(query));
}

function liveQueries(): Query[] {
  const minutes = ["events", "visitors"].filter((name) => canAsk(name)).map((name) => queryOf(name, HOUR));
  return [{ metric: "online" }, ...minutes.filter((query) => query.interval === "minute" && !isRefused(query))];
}

export function Overview() {
  const queries = tileQueries();
  const tiles = useAnswers(queries);
  const now = useAnswers(liveQueries());
  const chosen = queries.some(({ metric }) => metric === view.value.metric) ? view.value.metric : (queries[0]?.metric ?? "");
  const query = queries.find(({ metric }) => metric === chosen);
  const answer = tiles.answers?.find(({ metric }) => metric === chosen);
  const isEmpty = useIsEmpty();
  const wasEmpty = useRef(false); // the first event stays in sight beside the first numbers
  wasEmpty.current ||= isEmpty;
  const left = TILES.filter((name) => metrics.value.has(name) && !queries.some(({ metric }) => metric === name) && !(hidesMoney.value && name === "revenue"));
  const coarse = queries.filter((one) => one.interval !== interval.value);
  return (
    <div class="page overview">
      <h1 class="hidden">Overview</h1>
      {isWall.value ? <WallHead about={filtersInWords(view.value.filters)} /> : <FilterBar />}
      <div class="tiles">
        <OnlineTile shown={now} />
        <RateTile shown={now} />
        {queries.map(({ metric }) => (
          <MetricTile key={metric} metric={metric} shown={tiles} isChosen={metric === chosen} />
        ))}
      </div>
      {left.length > 0 && (
        <p class="quiet note">
          {left.map(metricName).join(", ")}: not counted by {filtersInWords(view.value.filters)}.
        </p>
      )}
      {coarse.length > 0 && (
        <p class="quiet note">
          {coarse.map(({ metric, interval: own }) => `${metricName(metric)} by ${own}`).join(", ")}: finer is not kept with these filters.
        </p>
      )}
      {wasEmpty.current && <FirstEvent isCompact />}
      {query && <MetricChart query={query} answer={answer} shown={tiles} height={isWall.value ? 360 : 280} />}
      {!isEmpty && <Lists />}
      {!isWall.value && !isEmpty && (
        <div class="pair">
          <HotProducts />
          <JustHappened />
        </div>
      )}
    </div>
  );
}

/** Whether the project has no event at all: then the page says how to send one, and listens. */
function useIsEmpty(): boolean {
  const isKnown = useRef(false);
  const { answers } = useAnswers(isKnown.current ? [] : [{ metric: "events", from: "-364d" }]);
  const total = answers?.[0]?.results[0]?.total;
  if (total) isKnown.current = true;
  return total === 0;
}

function OnlineTile({ shown }: { shown: Shown }) {
  const answer = shown.answers?.find(({ metric }) => metric === "online");
  const minutes = shown.answers?.find(({ metric }) => metric === "visitors");
  return (
    <Tile name="Online now" title="Persons seen in the last 5 minutes" answer={answer}>
      {minutes && <Spark points={minutes.results[0]?.points.slice(-31) ?? []} isOpen />}
    </Tile>
  );
}

function RateTile({ shown }: { shown: Shown }) {
  const meter = useRef(new RateMeter());
  const answer = shown.answers?.find(({ metric }) => metric === "events");
  const rate = answer ? meter.current.add(answer) : null;
  if (shown.answers && !answer) return null;
  return (
    <div class="tile">
      <span class="tile-name">Events a second</span>
      <span class="tile-value">
        {answer ? <Value value={rate === null ? null : Math.round(rate * 10) / 10} unit="number" /> : <Skeleton />}
      </span>
      <span class="tile-foot">{answer && <Spark points={answer.results[0]?.points ?? []} isOpen />}</span>
    </div>
  );
}

interface TileProps {
  name: string;
  title: string;
  answer: Answer | undefined;
  children?: preact.ComponentChildren;
}

function Tile({ name, title, answer, children }: TileProps) {
  const row = answer?.results[0];
  return (
    <div class="tile" title={title} data-metric={answer?.metric} data-as-of={answer?.meta.as_of}>
      <span class="tile-name">{name}</span>
      <span class="tile-value">
        {row ? <Value value={row.total} unit={answer.unit} currency={answer.currency} error={answer.meta.error} /> : <Skeleton />}
      </span>
      <span class="tile-foot">{children}</span>
    </div>
  );
}

function MetricTile({ metric, shown, isChosen }: { metric: string; shown: Shown; isChosen: boolean }) {
  const answer = shown.answers?.find((one) => one.metric === metric);
  const row = answer?.results[0];
  return (
    <button
      type="button"
      class={`tile ${shown.isOld ? "is-old" : ""}`}
      aria-pressed={isChosen}
      title={metrics.value.get(metric)?.description}
      data-metric={metric}
      data-as-of={answer?.meta.as_of}
      onClick={() => go({ metric }, true)}
    >
      <span class="tile-name">{metricName(metric)}</span>
      <span class="tile-value">
        {answer && row ? (
          <Value value={row.total} unit={answer.unit} currency={answer.currency} error={answer.meta.error} />
        ) : shown.problem ? (
          "–"
        ) : (
          <Skeleton />
        )}
      </span>
      <span class="tile-foot">
        {answer && row && <Spark points={row.points} isOpen={isOpenBucket(answer)} />}
        {answer && row && <Delta metric={metric} now={row.total} before={row.previous} unit={answer.unit} />}
      </span>
    </button>
  );
}
