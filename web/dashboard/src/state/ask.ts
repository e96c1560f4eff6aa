// Questions of the pages: what is asked for a metric, with the period, comparison and filters of the address.
// Which combinations are kept, only the server knows. What it refuses is remembered, and not asked again.
import { signal } from "@preact/signals";
import type { Problem, Query } from "../api/types";
import { compare, hasDimensions, period, view } from "./app";

/** Metric, dimensions and interval → the interval to take instead; "" where there is none. */
const refused = signal<ReadonlyMap<string, string>>(new Map());

function shapeOf({ metric, filters = {}, breakdown = [], interval = "none", from = "" }: Query): string {
  const dimensions = [...new Set([...Object.keys(filters), ...breakdown])].sort();
  return [metric, ...dimensions, interval, interval === "none" ? "" : from].join(" ");
}

export function queryOf(metric: string, more: Partial<Query> = {}): Query {
  const filters = view.value.filters;
  const query: Query = {
    metric,
    ...period.value,
    ...(compare.value ? { compare: compare.value } : {}),
    ...(Object.keys(filters).length ? { filters } : {}),
    ...more,
  };
  if (!query.compare) delete query.compare;
  const instead = refused.value.get(shapeOf(query)) || coarserFor(query);
  return instead ? { ...query, interval: instead } : query;
}

const PERSONS = ["visitors", "buyers"];
const BY_HOUR = "page referrer channel utm_source utm_medium utm_campaign os browser region language".split(" ");

/** Persons by any dimension, and events by these, are kept by hour: so a minute of them need not be tried. */
function coarserFor({ metric, filters = {}, breakdown = [], interval }: Query): string {
  const dimensions = [...breakdown, ...Object.keys(filters)];
  if (interval !== "minute") return "";
  return (PERSONS.includes(metric) && dimensions.length) || dimensions.some((name) => BY_HOUR.includes(name)) ? "hour" : "";
}

/** Whether the metric can be filtered as the page is filtered now. */
export function canAsk(metric: string, besides: string[] = []): boolean {
  const dimensions = [...new Set([...Object.keys(view.value.filters), ...besides])];
  return hasDimensions(metric, dimensions) && !(PERSONS.includes(metric) && dimensions.length > 1);
}

export const isRefused = (query: Query): boolean => refused.value.get(shapeOf(query)) === "";

/** Learns from a refusal. Returns whether there is another way to ask. */
export function learn(queries: Query[], problem: Problem): boolean {
  const place = /(?:^|\.)(\d+)\.(\w+)/.exec(problem.field ?? "");
  const query = queries[place ? Number(place[1]) : 0];
  if (problem.status !== 422 || !query || (!place && queries.length > 1)) return false;
  const isInterval = (problem.field ?? "").endsWith("interval");
  const coarser = isInterval && Array.isArray(problem.allowed) ? String(problem.allowed[0] ?? "") : "";
  if (refused.peek().get(shapeOf(query)) === coarser) return false;
  refused.value = new Map(refused.peek()).set(shapeOf(query), coarser);
  return true;
}
