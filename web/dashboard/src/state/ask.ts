// Questions of the pages: what is asked for a metric, with the period, comparison and filters of the address.
// Which combinations are kept, only the server knows. What it refuses is remembered, and not asked again.
import { signal } from "@preact/signals";
import type { Problem, Query } from "../api/types";
import { compare, hasDimensions, period, view } from "./app";

interface Refusal {
  /** What to change in the question; null where nothing helps. */
  change: Partial<Query> | null;
  problem: Problem;
}

const ORDER = ["minute", "hour", "day", "week", "month", "none"];
/** A refusal of one of these fields is one of the period, too. Another period is asked again. */
const OF_PERIOD = ["interval", "timezone", "from", "to", "compare"];
const CHANGES_MAX = 6;

const refused = signal<ReadonlyMap<string, Refusal>>(new Map());
export interface Reason {
  /** What the answer does not have. Without its detail it has longer buckets. */
  lost: "all" | "points" | "comparison" | "detail";
  problem: Problem;
}

const reasons = new WeakMap<Query, Reason>();

function shapeOf({ metric, filters = {}, breakdown = [], interval = "none" }: Query): string {
  const dimensions = [...new Set([...Object.keys(filters), ...breakdown])].sort();
  return [metric, ...dimensions, interval].join(" ");
}

const shapeInPeriod = (query: Query): string =>
  [shapeOf(query), query.from, query.to, query.timezone, query.compare].map((part) => part ?? "").join(" ");

const refusalOf = (query: Query): Refusal | undefined => refused.value.get(shapeInPeriod(query)) ?? refused.value.get(shapeOf(query));

export function queryOf(metric: string, more: Partial<Query> = {}): Query {
  const filters = view.value.filters;
  return adapted({
    metric,
    ...period.value,
    ...(compare.value ? { compare: compare.value } : {}),
    ...(Object.keys(filters).length ? { filters } : {}),
    ...more,
  });
}

/** The question as it can be asked, as far as that is known. */
function adapted(wanted: Query): Query {
  let query = cleaned(wanted);
  let reason: Reason | undefined;
  for (let count = 0; count < CHANGES_MAX; count += 1) {
    const refusal = refusalOf(query);
    if (refusal) reason = { lost: lostBy(refusal.change), problem: refusal.problem };
    const change = refusal ? refusal.change : coarserFor(query);
    if (!change) break;
    query = cleaned({ ...query, ...change });
  }
  if (reason) reasons.set(query, reason);
  return query;
}

function lostBy(change: Partial<Query> | null): Reason["lost"] {
  if (!change) return "all";
  if (change.compare !== undefined) return "comparison";
  return change.interval === "none" ? "points" : "detail";
}

/** Without what is empty: a page says `compare: ""` where it wants none. */
const cleaned = (query: Query): Query => Object.fromEntries(Object.entries(query).filter(([, value]) => value !== "")) as unknown as Query;

const PERSONS = ["visitors", "buyers"];
const BY_HOUR = "page referrer channel utm_source utm_medium utm_campaign os browser region language".split(" ");

/** Persons by any dimension, and events by these, are kept by hour: so a minute of them need not be tried. */
function coarserFor({ metric, filters = {}, breakdown = [], interval }: Query): Partial<Query> | null {
  const dimensions = [...breakdown, ...Object.keys(filters)];
  if (interval !== "minute") return null;
  const isByHour = (PERSONS.includes(metric) && dimensions.length > 0) || dimensions.some((name) => BY_HOUR.includes(name));
  return isByHour ? { interval: "hour" } : null;
}

/** Whether the metric can be filtered as the page is filtered now. */
export function canAsk(metric: string, besides: string[] = []): boolean {
  const dimensions = [...new Set([...Object.keys(view.value.filters), ...besides])];
  return hasDimensions(metric, dimensions) && !(PERSONS.includes(metric) && dimensions.length > 1);
}

export const isRefused = (query: Query): boolean => refusalOf(query)?.change === null;

/** Why a question of `queryOf` is not asked, or is not asked as the page wanted it. */
export const reasonOf = (query: Query): Reason | undefined => reasons.get(query);

/** Learns from a refusal. Returns whether it told something new. */
export function learn(queries: Query[], problem: Problem): boolean {
  const place = /(?:^|\.)(\d+)\.(\w+)/.exec(problem.field ?? "");
  const query = queries[place ? Number(place[1]) : 0];
  if (problem.status !== 422 || !query || (!place && queries.length > 1)) return false;
  const field = (problem.field ?? "").split(".").pop() ?? "";
  const shape = OF_PERIOD.includes(field) ? shapeInPeriod(query) : shapeOf(query);
  if (refused.peek().has(shape)) return false;
  refused.value = new Map(refused.peek()).set(shape, { change: changeFor(query, field, problem), problem });
  return true;
}

/** What may be answered instead: longer buckets, no comparison, or the total without points. */
function changeFor({ interval = "none", compare: comparison }: Query, field: string, { allowed }: Problem): Partial<Query> | null {
  if (field === "interval" && Array.isArray(allowed)) {
    const coarser = ORDER.slice(ORDER.indexOf(interval) + 1).find((name) => allowed.includes(name));
    return coarser ? { interval: coarser } : null;
  }
  if (field === "compare" && comparison) return { compare: "" };
  return field === "timezone" && interval !== "none" ? { interval: "none" } : null;
}
