// A metric over time with everything around it: the line before, table, PNG, CSV, the curl line.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { query as askQueries } from "../api/client";
import type { Answer, Query } from "../api/types";
import { exact } from "../show/numbers";
import { dimensionName, metricName, rowName, valueName } from "../show/names";
import { type Cell, copy, csvOf, curlOf, fileName, save } from "../show/files";
import { pictureOf } from "../show/picture";
import { span } from "../show/times";
import { go, hidesMoney, view } from "../state/app";
import { Card, Empty, ProblemNote, Skeleton } from "./Card";
import { Icon } from "./Icon";
import type { Shown } from "../live/use";
import { type ChartProps, TimeChart } from "./TimeChart";

interface MetricChartProps {
  query: Query;
  answer: Answer | undefined;
  shown: Shown;
  title?: ComponentChildren;
  shape?: "line" | "bars" | "table";
  hasTable?: boolean;
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

export function MetricChart(props: MetricChartProps) {
  const { query, answer, shown, title, shape = "line", hasTable = true, height, tools, hiddenRows = [] } = props;
  const asTable = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const before = usePointsBefore(query, answer);
  useTableKey(asTable);
  const name = metricName(query.metric);
  const results = answer?.results.filter((row) => !hiddenRows.includes(rowName(row.dimensions))) ?? [];
  const chart = answer && results.length ? chartOf(answer, results, before, name) : null;
  const isSecret = hidesMoney.value && answer?.unit === "money";
  const about = answer ? [span(answer.from, answer.to), answer.timezone, filtersInWords(query.filters)].filter(Boolean).join(" · ") : "";
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
          {hasTable && (
            <ToolButton icon={isTable ? "chart" : "table"} title={isTable ? "Show the chart  (t)" : "Show the table  (t)"} act={() => (asTable.value = !asTable.value)} />
          )}
          <ToolButton icon="image" title="Save as PNG" act={() => chart && void savePicture(chart, name, about, query)} />
          <ToolButton icon="download" title="Save as CSV" act={() => answer && saveCsv(answer, before)} />
          <ToolButton icon="copy" title="Copy as curl" act={() => void copy(curlOf(query), "The curl line is")} />
        </>
      }
    >
      <div ref={box} class="chart-box" style={{ minHeight: `${height ?? 260}px` }}>
        {shown.problem && !answer ? (
          <ProblemNote problem={shown.problem} />
        ) : !answer ? (
          <Skeleton rows={5} />
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

function useTableKey(asTable: { value: boolean }): void {
  useEffect(() => {
    const toggle = (): void => {
      asTable.value = !asTable.value;
    };
    addEventListener("rta:table", toggle);
    return () => removeEventListener("rta:table", toggle);
  }, []);
}

export function ToolButton({ icon, title, act }: { icon: string; title: string; act: () => void }) {
  return (
    <button type="button" class="tool" title={title} aria-label={title.replace(/\s+\(.\)$/, "")} onClick={act}>
      <Icon name={icon} />
    </button>
  );
}

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

async function savePicture(chart: ChartProps, name: string, about: string, query: Query): Promise<void> {
  const picture = await pictureOf(chart, `${name} by ${chart.interval}`, about);
  if (picture) save(`${fileName(query.metric, query.from, query.to)}.png`, picture);
}

export function saveCsv(answer: Answer, before?: (number | null)[]): void {
  const dimensions = Object.keys(answer.results[0]?.dimensions ?? {});
  const head: Cell[] = ["time", "timezone", ...dimensions, answer.metric, ...(before ? ["before"] : [])];
  const rows = answer.results.flatMap((row): Cell[][] => {
    const own = dimensions.map((name) => row.dimensions[name]);
    if (!row.points.length) return [[`${answer.from}/${answer.to}`, answer.timezone, ...own, row.total]];
    return row.points.map(([time, value], index) => [time, answer.timezone, ...own, value, ...(before ? [before[index]] : [])]);
  });
  const filters = Object.values(view.value.filters).flat();
  save(`${fileName(answer.metric, answer.from.slice(0, 16), answer.to.slice(0, 16), answer.interval, ...filters)}.csv`, csvOf([head, ...rows]));
}
