// A metric over time with everything around it: the line before, table, PNG, CSV, the curl line.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { query as askQueries } from "../api/client";
import type { Answer, Query } from "../api/types";
import { exact } from "../show/numbers";
import { dimensionName, metricName, rowName, rowValues, valueName } from "../show/names";
import { curlOf, fileName, sheetOf } from "../show/files";
import { pictureOf } from "../show/picture";
import { span } from "../show/times";
import { go, hidesMoney } from "../state/app";
import { reasonOf } from "../state/ask";
import { Card, Empty, ProblemNote, Skeleton } from "./Card";
import { CopyTools, useTable } from "./CopyTools";
import type { Shown } from "../live/use";
import { type ChartProps, TimeChart } from "./TimeChart";

interface MetricChartProps {
  query: Query;
  answer: Answer | undefined;
  shown: Shown;
  title?: ComponentChildren;
  shape?: "line" | "bars" | "table";
  height?: number;
  tools?: ComponentChildren;
  hiddenRows?: string[];
  children?: ComponentChildren;
}

/** The points of the period before. They do not move, so they are asked once. */
function usePointsBefore(query: Query, answer: Answer | undefined): (number | null)[] | undefined {
  const points = useSignal<{ key: string; values: (number | null)[] } | null>(null);
  const { compare: _, ...plain } = query;
  const isComparable = answer?.previous_from && answer.interval !== "none" && !query.breakdown?.length;
  const shifted = isComparable ? { ...plain, from: answer.previous_from, to: answer.previous_to } : null;
  const key = shifted ? JSON.stringify(shifted) : "";
  useEffect(() => {
    if (!key) {
      points.value = null;
      return;
    }
    let isWanted = true;
    askQueries([JSON.parse(key) as Query]).then(
      ([before]) => isWanted && (points.value = { key, values: (before?.results[0]?.points ?? []).map(([, value]) => value) }),
      () => {},
    );
    return () => {
      isWanted = false;
    };
  }, [key]);
  return key && points.value ? points.value.values : undefined;
}

export const isOpenBucket = (answer: Answer): boolean => Date.parse(answer.to) > Date.parse(answer.meta.as_of ?? "");

export const filtersInWords = (filters: Record<string, string[]> = {}): string =>
  Object.entries(filters)
    .map(([name, values]) => `${dimensionName(name)}: ${values.map((value) => valueName(name, value)).join(", ")}`)
    .join(" · ");

/** What a picture says below its title, since it is seen without the page. */
export const aboutOf = ({ from, to, timezone }: Pick<Answer, "from" | "to" | "timezone">, filters?: Query["filters"]): string =>
  [span(from, to), timezone, filtersInWords(filters)].filter(Boolean).join(" · ");

/** A name for files that says metric, period and filters. */
export const fileOf = ({ metric, from, to, filters = {} }: Query, answer?: Answer): string =>
  answer
    ? fileName(metric, answer.from.slice(0, 16), answer.to.slice(0, 16), answer.interval === "none" ? "" : answer.interval, ...Object.values(filters).flat())
    : fileName(metric, from, to);

export function MetricChart(props: MetricChartProps) {
  const { query, answer, shown, title, shape = "line", height, tools, hiddenRows = [] } = props;
  const asTable = useTable();
  const before = usePointsBefore(query, answer);
  const name = metricName(query.metric);
  const reason = reasonOf(query);
  const results = answer?.results.filter((row) => !hiddenRows.includes(rowValues(row.dimensions))) ?? [];
  const chart = answer && results[0]?.points.length ? chartOf(answer, results, before, name) : null;
  const isSecret = hidesMoney.value && answer?.unit === "money";
  const about = answer ? aboutOf(answer, query.filters) : "";
  const zoom = (first: number, last: number): void => {
    const from = answer?.results[0]?.points[first]?.[0];
    const to = answer?.results[0]?.points[last + 1]?.[0] ?? "";
    if (from) go({ from: utc(from), to: to ? utc(to) : "", interval: "" });
  };
  const isTable = asTable.value || shape === "table";
  return (
    <Card
      class="chart-card"
      isOld={shown.isOld}
      label={name}
      title={title ?? <h2>{name}</h2>}
      tools={
        <>
          {chart?.before && !isTable && (
            <span class="legend" aria-hidden="true">
              <span><i class="stroke now" /> Now</span>
              <span><i class="stroke" /> {query.compare === "previous_year" ? "Year before" : "Before"}</span>
            </span>
          )}
          {tools}
          <CopyTools
            file={fileOf(query, answer)}
            curl={curlOf(query)}
            asTable={shape !== "table" ? asTable : undefined}
            picture={chart && !isSecret ? () => pictureOf(chart, `${name} by ${chart.interval}`, about) : undefined}
            sheet={answer && !isSecret ? () => sheetOf(answer, before) : undefined}
          />
        </>
      }
    >
      <div class="chart-box" style={{ minHeight: `${height ?? 260}px` }}>
        {shown.problem && !answer ? (
          <ProblemNote problem={shown.problem} />
        ) : !answer ? (
          <Skeleton rows={5} />
        ) : reason?.lost === "points" && answer.interval === "none" ? (
          <ProblemNote problem={reason.problem} />
        ) : isSecret ? (
          <Empty>Money is hidden on this screen.</Empty>
        ) : chart ? (
          <TimeChart {...chart} asTable={isTable} shape={shape === "bars" ? "bars" : "line"} {...(height ? { height } : {})} onZoom={zoom} />
        ) : (
          <Empty>Nothing in this period.</Empty>
        )}
      </div>
      {props.children}
    </Card>
  );
}

const utc = (iso: string): string => `${new Date(iso).toISOString().slice(0, 16)}Z`;

export function chartOf(answer: Answer, results: Answer["results"], before: (number | null)[] | undefined, name: string): ChartProps {
  const unit = { unit: answer.unit, currency: answer.currency };
  const times = results[0]?.points.map(([time]) => time) ?? [];
  const series = results.slice(0, 10).map((row, index) => ({
    name: Object.keys(row.dimensions).length ? rowName(row.dimensions) : name,
    values: row.points.map(([, value]) => value),
    color: index,
  }));
  const total = results.length === 1 ? `, ${exact(results[0]?.total ?? null, unit)} in all` : `, ${results.length} series`;
  return {
    ...unit, times, series, before, interval: answer.interval, isOpen: isOpenBucket(answer),
    summary: `${name} by ${answer.interval}, ${span(answer.from, answer.to)}${total}.`,
  };
}
