// One number: its name, its value, its line, its change. It can be copied as the curl line that asks it.
import type { ComponentChildren } from "preact";
import type { Answer, Query } from "../api/types";
import type { Shown } from "../live/use";
import { curlOf } from "../show/files";
import { metricName } from "../show/names";
import { go, metrics } from "../state/app";
import { Skeleton } from "./Card";
import { CopyCurl } from "./CopyTools";
import { isOpenBucket } from "./MetricChart";
import { Spark } from "./Spark";
import { Delta, Value } from "./Value";

interface TileProps {
  name: string;
  title: string | undefined;
  query: Query | undefined;
  answer: Answer | undefined;
  isOld?: boolean;
  /** Where the tile can be chosen: whether it is. */
  isChosen?: boolean | undefined;
  choose?: (() => void) | undefined;
  value?: ComponentChildren;
  children?: ComponentChildren;
}

/** `value` stands for the total of the answer. */
export function Tile({ name, title, query, answer, isOld = false, isChosen, choose, value, children }: TileProps) {
  const row = answer?.results[0];
  const total = answer && row ? <Value value={row.total} unit={answer.unit} currency={answer.currency} error={answer.meta.error} /> : <Skeleton />;
  const content = (
    <>
      <span class="tile-name">{name}</span>
      <span class="tile-value">{value ?? total}</span>
      <span class="tile-foot">{children}</span>
    </>
  );
  const shared = { class: `tile ${isOld ? "is-old" : ""}`, title, "data-metric": value === undefined ? query?.metric : undefined, "data-as-of": answer?.meta.as_of };
  return (
    <div class="tile-place">
      {choose ? <button type="button" {...shared} aria-pressed={isChosen} onClick={choose}>{content}</button> : <div {...shared}>{content}</div>}
      {query && <CopyCurl curl={curlOf(query)} of={name} class="tile-copy" />}
    </div>
  );
}

interface MetricTileProps {
  query: Query;
  shown: Shown;
  isChosen?: boolean;
  /** Whether a click shows it in the chart of the page. */
  hasChart?: boolean;
}

export function MetricTile({ query, shown, isChosen, hasChart = true }: MetricTileProps) {
  const { metric } = query;
  const answer = shown.answers?.find((one) => one.metric === metric);
  const row = answer?.results[0];
  return (
    <Tile
      name={metricName(metric)}
      title={metrics.value.get(metric)?.description}
      query={query}
      answer={answer}
      isOld={shown.isOld}
      isChosen={isChosen}
      choose={hasChart ? () => go({ metric }, true) : undefined}
      value={!answer && shown.problem ? "–" : undefined}
    >
      {answer && row && <Spark points={row.points} isOpen={isOpenBucket(answer)} />}
      {answer && row && <Delta metric={metric} now={row.total} before={row.previous} unit={answer.unit} />}
    </Tile>
  );
}
