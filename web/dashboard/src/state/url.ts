// The one parser of the address. All state of a page is in it, under the API's own parameter names.
import { DEFAULT_PERIOD, intervalsOf, isTime } from "./period";

export type PageName = "overview" | "products" | "engagement" | "explore" | "feed" | "catalog" | "settings";

export interface View {
  page: PageName;
  /** What follows in the path: a product's id, `users`, `keys`. */
  sub: string;
  from: string;
  to: string;
  interval: string;
  compare: string;
  timezone: string;
  metric: string;
  breakdown: string[];
  filters: Record<string, string[]>;
  /** The rows of a result that its chart does not draw. */
  hidden: string[];
  /** The dimensions of the lists of the overview, where a list shows another than its first. */
  lists: string[];
  /** What else a page keeps in its address: by, sort, q, tab, as, cohort, person, status, kind, reason, limit. */
  more: Record<string, string>;
}

export const PAGES: { page: PageName; path: string; name: string }[] = [
  { page: "overview", path: "/", name: "Overview" },
  { page: "products", path: "/products", name: "Products" },
  { page: "engagement", path: "/engagement", name: "Engagement" },
  { page: "explore", path: "/explore", name: "Explore" },
  { page: "feed", path: "/feed", name: "Feed" },
  { page: "catalog", path: "/catalog", name: "Catalog" },
  { page: "settings", path: "/settings", name: "Settings" },
];

export const COMPARISONS = ["previous_period", "previous_year", "none"];
export const INTERVALS = ["minute", "hour", "day", "week", "month", "none"];
const DIMENSIONS = new Set(
  ("event source page country device os browser referrer utm_source utm_medium utm_campaign product_id " +
    "product_category product_brand region language channel").split(" "),
);
const MORE = [
  "add", "as", "by", "cohort", "hide", "id", "kind", "limit", "person", "q", "reason", "sort", "status", "tab", "theme", "unit", "wall",
];
const NAME = /^[a-z][a-z0-9_]{0,63}$/;

export const isDimension = (name: string): boolean => DIMENSIONS.has(name) || /^(property|user)\..{1,200}$/.test(name);

export function emptyView(page: PageName = "overview", sub = ""): View {
  return {
    page, sub, from: DEFAULT_PERIOD.from, to: "", interval: "", compare: "previous_period", timezone: "",
    metric: "", breakdown: [], filters: {}, hidden: [], lists: [], more: {},
  };
}

function parsePath(pathname: string): { page: PageName; sub: string } {
  const [first = "", ...rest] = pathname.split("/").filter(Boolean);
  const entry = PAGES.find(({ path }) => path === `/${first}`) ?? PAGES[0];
  return { page: entry?.page ?? "overview", sub: decode(rest.join("/")) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

type Reader = (view: View, values: string[]) => boolean;

const last = (values: string[]): string => values[values.length - 1] ?? "";
const READERS: Record<string, Reader> = {
  from: (view, values) => isTime(last(values)) && Boolean((view.from = last(values))),
  to: (view, values) => isTime(last(values)) && typeof (view.to = last(values) === "now" ? "" : last(values)) === "string",
  interval: (view, values) => INTERVALS.includes(last(values)) && Boolean((view.interval = last(values))),
  compare: (view, values) => COMPARISONS.includes(last(values)) && Boolean((view.compare = last(values))),
  timezone: (view, values) => isZone(last(values)) && Boolean((view.timezone = last(values))),
  metric: (view, values) => NAME.test(last(values)) && Boolean((view.metric = last(values))),
  breakdown: (view, values) => values.every(isDimension) && Boolean((view.breakdown = [...new Set(values)])),
  hidden: (view, values) => Boolean((view.hidden = [...new Set(values)].sort())),
  list: (view, values) => values.every(isDimension) && Boolean((view.lists = [...new Set(values)].sort())),
};

export function isZone(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return zone.length > 0;
  } catch {
    return false;
  }
}

/** Reads an address. What is unknown or wrong is left out and named: a link never ends in an error page. */
export function parse(pathname: string, search: string): { view: View; ignored: string[] } {
  const { page, sub } = parsePath(pathname);
  const view = emptyView(page, sub);
  const ignored: string[] = [];
  const parameters = new URLSearchParams(search);
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name).filter((value) => value !== "");
    if (values.length && !readOne(view, name, values)) ignored.push(name);
  }
  return { view, ignored };
}

function readOne(view: View, name: string, values: string[]): boolean {
  const reader = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
  if (reader) return reader(view, values);
  if (MORE.includes(name)) return Boolean((view.more[name] = last(values)));
  if (!isDimension(name)) return false;
  view.filters[name] = [...new Set(values)].sort();
  return true;
}

/** Writes an address. Defaults stay out and the order is fixed: equal views have equal links. */
export function write(view: View): string {
  const parts: [string, string][] = [];
  const add = (name: string, value: string, standard = ""): void => {
    if (value && value !== standard) parts.push([name, value]);
  };
  add("from", view.from, DEFAULT_PERIOD.from);
  add("to", view.to);
  add("interval", view.interval);
  add("compare", view.compare, "previous_period");
  add("timezone", view.timezone);
  add("metric", view.metric);
  for (const dimension of view.breakdown) add("breakdown", dimension);
  for (const name of Object.keys(view.filters).sort()) for (const value of view.filters[name] ?? []) add(name, value);
  for (const row of [...view.hidden].sort()) add("hidden", row);
  for (const dimension of [...view.lists].sort()) add("list", dimension);
  for (const name of Object.keys(view.more).sort()) add(name, view.more[name] ?? "");
  const search = parts.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");
  return pathOf(view) + (search ? `?${search}` : "");
}

function pathOf(view: View): string {
  const path = PAGES.find(({ page }) => page === view.page)?.path ?? "/";
  return view.sub ? `${path === "/" ? "" : path}/${encodeURIComponent(view.sub)}` : path;
}

/** As encodeURIComponent, but `/` and `:` stay: zones and times are read by people. */
const encode = (text: string): string => encodeURIComponent(text).replace(/%2F/g, "/").replace(/%3A/g, ":");

export function intervalOf(view: View, zone: string, now: number): string {
  const allowed = intervalsOf(view.from, view.to, zone, now);
  return view.interval && view.interval !== "none" ? view.interval : (allowed[0] ?? "hour");
}
