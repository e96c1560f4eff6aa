// Overview: tiles, the chosen tile over time, ranked lists, hot products, what has just happened.
import { useRef } from "preact/hooks";
import type { Query } from "../api/types";
import { RateMeter } from "../live/rate";
import { type Shown, useAnswers } from "../live/use";
import { FilterBar } from "../parts/FilterBar";
import { filtersInWords, MetricChart } from "../parts/MetricChart";
import { Skeleton } from "../parts/Card";
import { FirstEvent } from "../parts/FirstEvent";
import { Reasons } from "../parts/Reasons";
import { Spark } from "../parts/Spark";
import { MetricTile, Tile } from "../parts/Tile";
import { Value } from "../parts/Value";
import { metricName } from "../show/names";
import { hidesMoney, interval, isWall, metrics, view } from "../state/app";
import { canAsk, isRefused, queryOf } from "../state/ask";
import { HotProducts } from "./overview/HotProducts";
import { JustHappened } from "./overview/JustHappened";
import { Lists } from "./overview/Lists";
import { WallHead } from "./overview/WallHead";

const TILES = ["visitors", "sessions", "page_views", "orders", "revenue", "conversion_rate"];
const ONLINE: Query = { metric: "online" };
const HOUR = { from: "-60m", to: "now", interval: "minute", compare: "" };

function tileQueries(): Query[] {
  const isShown = (name: string): boolean => canAsk(name) && !(hidesMoney.value && metrics.value.get(name)?.unit === "money");
  return TILES.filter(isShown).map((name) => queryOf(name, { interval: interval.value }));
}

function liveQueries(): Query[] {
  const minutes = ["events", "visitors"].filter((name) => canAsk(name)).map((name) => queryOf(name, HOUR));
  return [ONLINE, ...minutes.filter((query) => query.interval === "minute" && !isRefused(query))];
}

/** What the tiles show: asked before the page is drawn. */
export function firstQueries(): Query[][] {
  return [tileQueries().filter((query) => !isRefused(query)), liveQueries()];
}

export function Overview() {
  const wanted = tileQueries();
  const queries = wanted.filter((query) => !isRefused(query));
  const tiles = useAnswers(queries);
  const nowQueries = liveQueries();
  const now = useAnswers(nowQueries);
  const chosen = queries.some(({ metric }) => metric === view.value.metric) ? view.value.metric : (queries[0]?.metric ?? "");
  const query = queries.find(({ metric }) => metric === chosen);
  const answer = tiles.answers?.find(({ metric }) => metric === chosen);
  const isEmpty = useIsEmpty();
  const wasEmpty = useRef(false); // the first event stays in sight beside the first numbers
  wasEmpty.current ||= isEmpty;
  const left = TILES.filter((name) => metrics.value.has(name) && !wanted.some(({ metric }) => metric === name) && !(hidesMoney.value && name === "revenue"));
  return (
    <div class="page overview">
      <h1 class="hidden">Overview</h1>
      {isWall.value ? <WallHead about={filtersInWords(view.value.filters)} /> : <FilterBar />}
      <div class="tiles">
        <OnlineTile shown={now} />
        <RateTile shown={now} query={nowQueries.find(({ metric }) => metric === "events")} />
        {queries.map((one) => (
          <MetricTile key={one.metric} query={one} shown={tiles} isChosen={one.metric === chosen} />
        ))}
      </div>
      {left.length > 0 && (
        <p class="quiet note">
          {left.map(metricName).join(", ")}: not counted by {filtersInWords(view.value.filters)}.
        </p>
      )}
      <Reasons queries={wanted} />
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
    <Tile name="Online now" title="Persons seen in the last 5 minutes" query={ONLINE} answer={answer}>
      {minutes && <Spark points={minutes.results[0]?.points.slice(-31) ?? []} isOpen />}
    </Tile>
  );
}

function RateTile({ shown, query }: { shown: Shown; query: Query | undefined }) {
  const meter = useRef(new RateMeter());
  const answer = shown.answers?.find(({ metric }) => metric === "events");
  const rate = answer ? meter.current.add(answer) : null;
  if (shown.answers && !answer) return null;
  const value = answer ? <Value value={rate === null ? null : Math.round(rate * 10) / 10} unit="number" /> : <Skeleton />;
  return (
    <Tile name="Events a second" title="Events counted in the last seconds" query={query} answer={answer} value={value}>
      {answer && <Spark points={answer.results[0]?.points ?? []} isOpen />}
    </Tile>
  );
}
