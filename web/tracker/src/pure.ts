// What needs no page: tested by itself in pure.test.mjs.

type Fields = Record<string, unknown>;

const CHUNK_EVENTS_MAX = 100;
const CHUNK_BYTES_MAX = 50_000; // a browser keeps 64 kB of requests of a closed page alive
const DELAY_MS_MAX = 60_000;
const RETRY_AFTER_SECONDS_MAX = 300;

/** How many of the first events go into one request; at least one of them. */
export const chunkOf = (events: readonly unknown[]): number => {
  let bytes = 0;
  let count = 0;
  for (const event of events) {
    bytes += new Blob([JSON.stringify(event)]).size + 1;
    if (count && (bytes > CHUNK_BYTES_MAX || count >= CHUNK_EVENTS_MAX)) break;
    count++;
  }
  return count;
};

/** How long to wait after the n-th failure: doubled each time, spread by `chance` (0 to 1), at least Retry-After. */
export const delayOf = (failures: number, retryAfter: string | null | undefined, chance: number): number =>
  Math.max(
    Math.min(500 * 2 ** failures, DELAY_MS_MAX) * (0.5 + chance / 2),
    Math.min(Number(retryAfter) || 0, RETRY_AFTER_SECONDS_MAX) * 1000,
  );

/** Whether the same request may be answered otherwise later. */
export const isPassing = (status: number): boolean => status >= 500 || status === 429 || status === 408;

/** Without repeats of a messageId: an event may be in storage and in memory. */
export const unique = <E extends { messageId: string }>(events: readonly E[]): E[] => [
  ...new Map(events.map((event) => [event.messageId, event])).values(),
];

/** The campaign that an address names by utm_*, in Segment's names; undefined where it names none. */
export const campaignOf = (search: string): Fields | undefined => {
  const campaign: Fields = {};
  for (const [name, value] of new URLSearchParams(search))
    if (/^utm_./.test(name) && value) campaign[name === "utm_campaign" ? "name" : name.slice(4)] = value;
  return Object.keys(campaign)[0] ? campaign : undefined;
};

export const isDownload = (path: string): boolean =>
  /\.(pdf|csv|txt|zip|rar|7z|t?gz|dmg|pkg|exe|msi|apk|mp[34]|mov|epub|(doc|xls|ppt)x?|od[stp])$/i.test(path);

/** The method of a commerce event: "Product Viewed" → productViewed. */
export const methodOf = (event: string): string => event[0]!.toLowerCase() + event.slice(1).replace(" ", "");
