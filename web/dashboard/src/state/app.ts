// What all parts share: the view (the address), who is signed in, the project, its metrics. All of it signals.
import { computed, signal } from "@preact/signals";
import { get, send, watchers } from "../api/client";
import type { MetricInfo, Project } from "../api/types";
import { resolve } from "./period";
import { emptyView, intervalOf, parse, type View, write } from "./url";

export const view = signal<View>(emptyView());
export const ignored = signal<string[]>([]);
export const session = signal<"unknown" | "in" | "out">("unknown");
export const scopes = signal<string[]>([]);
export const project = signal<Project | null>(null);
export const metrics = signal<Map<string, MetricInfo>>(new Map());
export const notice = signal<{ text: string; tone: "good" | "bad" } | null>(null);
/** The server's time. It moves several times a minute, so that `today` becomes the new day in a page that stays open. */
export const minute = signal(Date.now());

export const zone = computed(() => view.value.timezone || project.value?.zone || "UTC");
export const interval = computed(() => intervalOf(view.value, zone.value, minute.value));
export const currency = computed(() => project.value?.currency ?? "EUR");
export const isWall = computed(() => view.value.more.wall === "1");
export const hidesMoney = computed(() => view.value.more.hide === "money");
export const can = (scope: string): boolean => scopes.value.length === 0 || scopes.value.includes(scope);

/** The period as the API takes it. */
export const period = computed(() => ({
  from: resolve(view.value.from, zone.value, minute.value),
  ...(view.value.to ? { to: resolve(view.value.to, zone.value, minute.value) } : {}),
  ...(view.value.timezone ? { timezone: view.value.timezone } : {}),
}));
export const compare = computed(() => (view.value.compare === "none" ? undefined : view.value.compare));

export function readAddress(): void {
  const result = parse(location.pathname, location.search);
  view.value = result.view;
  ignored.value = result.ignored;
}

export function go(change: Partial<View>, replace = false): void {
  const next = { ...view.value, ...change };
  const address = write(next);
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  const turnsPage = next.page !== view.value.page || next.sub !== view.value.sub;
  view.value = next;
  ignored.value = [];
  if (turnsPage) scrollTo(0, 0);
}

export const linkTo = (change: Partial<View>): string => write({ ...view.value, ...change });

/** To another page: the period, the filters and the zone go along; what belongs to one page does not. */
export const pageView = (page: View["page"], sub = ""): Partial<View> => ({
  page, sub, metric: "", breakdown: [], hidden: [], lists: [], more: keepOf(view.value.more, ["theme", "hide"]),
});

function keepOf(more: Record<string, string>, names: string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(more).filter(([name]) => names.includes(name)));
}

export function setMore(change: Record<string, string>, replace = false): void {
  const more = Object.fromEntries(Object.entries({ ...view.value.more, ...change }).filter(([, value]) => value));
  go({ more }, replace);
}

export function setFilter(dimension: string, values: string[]): void {
  const { [dimension]: _, ...others } = view.value.filters;
  go({ filters: values.length ? { ...others, [dimension]: [...values].sort() } : others });
}

export function toggleFilter(dimension: string, value: string): void {
  const values = view.value.filters[dimension] ?? [];
  setFilter(dimension, values.includes(value) ? values.filter((one) => one !== value) : [...values, value]);
}

/** Shows a hidden row of a chart, or hides a shown one. */
export function toggleRow(name: string): void {
  const { hidden } = view.value;
  go({ hidden: hidden.includes(name) ? hidden.filter((one) => one !== name) : [...hidden, name] }, true);
}

let noticeTimer = 0;
export function tell(text: string, tone: "good" | "bad" = "good"): void {
  notice.value = { text, tone };
  clearTimeout(noticeTimer);
  noticeTimer = window.setTimeout(() => (notice.value = null), 6000);
}

interface SessionAnswer {
  project: Project;
  scopes: string[];
}

/** Reads who is signed in, and which metrics there are. Without a session the page shows the sign-in. */
export async function loadSession(): Promise<void> {
  const [about, listed] = await Promise.all([
    get<SessionAnswer>("/v1/session"),
    get<{ items: MetricInfo[] }>("/v1/metrics"),
  ]);
  metrics.value = new Map(listed.items.map((metric) => [metric.name, metric]));
  project.value = about.project;
  scopes.value = about.scopes;
  await watchers.signedIn();
  session.value = "in";
}

/** By a key, or by the one-time code of a link. */
export async function signIn(secret: { key: string } | { start: string }): Promise<void> {
  await send("POST", "/v1/session", secret);
  await loadSession();
}

export async function signOut(): Promise<void> {
  await send("DELETE", "/v1/session").catch(() => null);
  session.value = "out";
}

watchers.signedOut = () => {
  session.value = "out";
};

/** Whether a metric can be asked with these dimensions; the server has the last word. */
export function hasDimensions(metric: string, dimensions: string[]): boolean {
  const info = metrics.value.get(metric);
  if (!info) return false;
  return dimensions.every((name) => info.dimensions.some((own) => own === name || isPattern(own, name)));
}

const isPattern = (own: string, name: string): boolean => /[.]?[*<].*$/.test(own) && name.startsWith(own.replace(/[*<].*$/, ""));
