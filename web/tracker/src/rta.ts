// rta.js: the web tracker of RTAPlatform. One script element with `data-key` is all that a page needs.

import { begin, count, listen, takeSeconds } from "./engagement";
import { isOff, options } from "./options";
import { campaignOf, isDownload, methodOf } from "./pure";
import { clear, flush, handOver, push, type QueuedEvent, wake, warn } from "./queue";
import { choose, consent, forget, ids, newId, setUser } from "./state";

type Fields = Record<string, unknown>;
type Method = (...given: any[]) => unknown;

declare const VERSION: string;

const TITLE_MS = 50; // single-page applications set the title after the address
const COMMERCE = [
  "Product Viewed",
  "Product Added",
  "Product Removed",
  "Checkout Started",
  "Order Completed",
  "Order Refunded",
  "Order Cancelled",
];
const hash = "hash" in options;
const engagedSeconds = Number(options.engaged ?? 10);

let referrer = document.referrer;
let page: ReturnType<typeof readPage>;
let query: string; // of the address as last seen

const readPage = () => ({
  path: location.pathname + (hash ? location.hash : ""),
  url: hash ? location.href : location.href.split("#")[0]!,
  search: location.search,
  title: document.title,
  referrer,
});

const send = (type: string, fields: Fields, at = readPage()): void => {
  if (consent() === 0) return;
  try {
    const event = { type, ...fields, messageId: newId(), timestamp: new Date(), ...ids() };
    // Copied: the page may change its objects before they are sent.
    const copy = JSON.parse(JSON.stringify(event)) as QueuedEvent;
    push(Object.assign(copy, { context: { page: at, campaign: campaignOf(at.search) } }));
  } catch (error) {
    warn(error);
  }
};

const track = (event: string, properties?: Fields): void => send("track", { event, properties });

const view = (name?: string, properties?: Fields): void => {
  sendEngaged();
  begin(engagedSeconds);
  const seen = (page = readPage());
  query = seen.search;
  send("page", { name, properties }, seen);
  setTimeout(() => page === seen && (seen.title = document.title), TITLE_MS);
};

const sendEngaged = (): void => {
  const seconds = page && !isOff("engaged") && takeSeconds();
  if (seconds) send("track", { event: "Page Engaged", properties: { seconds } }, page);
};

/** Filters and drafts change the query by replaceState: only another path is another page there. */
const navigated = (isReplaced?: boolean): void => {
  const { path, search } = readPage();
  const isSame = path === page.path && (isReplaced || search === query);
  query = search;
  if (isSame) return;
  referrer = page.url;
  view();
};

const followHistory = (): void => {
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History, ...given) {
      original.apply(this, given);
      navigated(name !== "pushState");
    };
  }
  for (const name of ["popstate", "hashchange"]) addEventListener(name, () => navigated());
  addEventListener("pageshow", (event) => event.persisted && view());
  view();
};

const followLinks = (): void => {
  const clicked = (event: Event): void => {
    const link = (event.composedPath()[0] as Element).closest?.<HTMLAnchorElement>("a[href]");
    if (!link || !/^http/.test(link.protocol)) return;
    if (link.hasAttribute("download") || isDownload(link.pathname)) track("File Downloaded", { url: link.href });
    else if (link.host !== location.host) track("Outbound Link Clicked", { url: link.href });
  };
  for (const name of ["click", "auxclick"]) addEventListener(name, clicked, true);
};

const rta: Record<string, Method | string> = {
  version: VERSION,
  track,
  page: view,
  identify: (user?: unknown, traits?: Fields) => {
    if (typeof user === "object") traits ??= user as Fields;
    else if (user) setUser(String(user));
    send("identify", { traits });
  },
  reset: forget,
  consent: (isGiven: boolean) => {
    choose(isGiven);
    if (isGiven) wake();
    else clear();
  },
  optOut: () => (rta.consent as Method)(false),
  anonymousId: () => ids().anonymousId,
};

const start = (): void => {
  const scope = window as unknown as { rta?: any };
  const early = scope.rta;
  if (early?.version === VERSION) return;
  if (!options.key) return warn("no data-key");
  for (const event of COMMERCE) rta[methodOf(event)] = (properties?: Fields) => track(event, properties);
  scope.rta = rta;
  addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    const name = form.getAttribute("data-rta-submit");
    // Not `form.id`, which is a field of this name where the form has one.
    if (name) track(name, { form: form.getAttribute("id") });
  }, true);
  if (!isOff("links")) followLinks();
  listen();
  const hidden = (): void => {
    sendEngaged();
    handOver();
  };
  addEventListener("pagehide", hidden);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") hidden();
    else {
      count();
      wake();
    }
  });
  addEventListener("online", flush);
  if (Array.isArray(early)) for (const [name, given] of early) (rta[name] as Method)?.(...given);
  if (!isOff("pages")) followHistory();
  wake();
};

if ((document as { prerendering?: boolean }).prerendering)
  document.addEventListener("prerenderingchange", start, { once: true });
else start();
