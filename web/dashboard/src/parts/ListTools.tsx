// What a ranked list gives away.
import type { Signal } from "@preact/signals";
import type { Answer, Query } from "../api/types";
import { curlOf, sheetOf } from "../show/files";
import { dimensionName, metricName, valueName } from "../show/names";
import { exact } from "../show/numbers";
import { pictureOfBars } from "../show/picture-rows";
import { hidesMoney } from "../state/app";
import { CopyTools } from "./CopyTools";
import { aboutOf, fileOf } from "./MetricChart";

interface ListToolsProps {
  query: Query;
  answer: Answer | undefined;
  dimension: string;
  asTable: Signal<boolean>;
}

export function ListTools({ query, answer, dimension, asTable }: ListToolsProps) {
  const isSecret = hidesMoney.value && answer?.unit === "money";
  const shown = answer && !isSecret ? answer : undefined;
  return (
    <CopyTools
      file={fileOf({ ...query, metric: `${query.metric}_by-${dimension}` }, answer)}
      curl={curlOf(query)}
      asTable={asTable}
      picture={shown && (() => pictureOfList(shown, query, dimension))}
      sheet={shown && (() => sheetOf(shown))}
    />
  );
}

function pictureOfList(answer: Answer, query: Query, dimension: string): Promise<Blob | null> {
  const most = Math.max(...answer.results.map(({ total }) => total ?? 0), 0) || 1;
  const bars = answer.results.map(({ dimensions, total }) => ({
    name: valueName(dimension, dimensions[dimension] ?? ""),
    value: exact(total, { unit: answer.unit, currency: answer.currency }),
    share: Math.max(0, total ?? 0) / most,
  }));
  return pictureOfBars(bars, `${metricName(answer.metric)} by ${dimensionName(dimension).toLowerCase()}`, aboutOf(answer, query.filters));
}
