// The address: what is written is read again; what is wrong is left out and named.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DEFAULT_PERIOD, PERIODS } from "../src/state/period";
import { COMPARISONS, emptyView, INTERVALS, PAGES, parse, type View, write } from "../src/state/url";

const text = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" }).filter((value) => value.trim() === value && value.isWellFormed());
const values = fc.uniqueArray(text, { minLength: 1, maxLength: 3 }).map((list) => [...list].sort());

const views: fc.Arbitrary<View> = fc
  .record({
    page: fc.constantFrom(...PAGES.map(({ page }) => page)),
    period: fc.constantFrom(...PERIODS, { from: "2026-11-01", to: "2026-11-08" }, { from: "2026-11-01T10:00Z", to: "2026-11-01T12:30Z" }),
    interval: fc.constantFrom("", ...INTERVALS),
    compare: fc.constantFrom(...COMPARISONS),
    timezone: fc.constantFrom("", "Europe/Berlin", "Asia/Kathmandu"),
    metric: fc.constantFrom("", "orders", "visitors"),
    breakdown: fc.constantFrom<string[]>([], ["source"], ["country", "device"], ["property.plan"]),
    filters: fc.dictionary(fc.constantFrom("source", "page", "property.plan", "user.tier"), values),
    hidden: fc.uniqueArray(text, { maxLength: 3 }).map((rows) => [...rows].sort()),
    lists: fc.constantFrom<string[]>([], ["event"], ["browser", "event"]),
    more: fc.dictionary(fc.constantFrom("as", "kind", "limit", "person", "q", "reason", "status", "tab", "wall"), text),
    sub: text.filter((id) => id !== "." && id !== ".."), // no id of a product: a path drops them
  })
  .map(({ page, period, sub, filters, more, ...rest }) => ({
    ...emptyView(page, page === "products" ? sub : ""), ...rest, from: period.from, to: period.to,
    filters: { ...filters }, more: { ...more },
  }));

test("every view is read again from its address", () => {
  fc.assert(
    fc.property(views, (view) => {
      const address = new URL(write(view), "http://page");
      const { view: read, ignored } = parse(address.pathname, address.search);
      assert.deepEqual({ ...read, filters: { ...read.filters }, more: { ...read.more } }, view);
      assert.deepEqual(ignored, []);
    }),
    { numRuns: 500 },
  );
});

test("equal views have equal addresses, whatever the order of the parameters", () => {
  const one = parse("/", "?source=web&source=ios&country=DE&from=-7d");
  const two = parse("/", "?country=DE&from=-7d&source=ios&source=web");
  assert.equal(write(one.view), write(two.view));
  assert.equal(write(one.view), "/?from=-7d&country=DE&source=ios&source=web");
});

test("what a page hides, and the dimension that a list shows, are in its address", () => {
  const { view, ignored } = parse("/", "?list=event&list=os&hidden=web&hidden=a,b");
  assert.deepEqual([view.lists, view.hidden, ignored], [["event", "os"], ["a,b", "web"], []]);
  assert.equal(write(view), "/?hidden=a%2Cb&hidden=web&list=event&list=os");
});

test("defaults stay out of the address", () => {
  assert.equal(write({ ...emptyView(), from: DEFAULT_PERIOD.from, compare: "previous_period" }), "/");
});

test("unknown and wrong parameters are left out and named", () => {
  const { view, ignored } = parse("/explore", "?from=soon&interval=fortnight&__proto__=1&constructor=2&colour=red&source=web&timezone=Mars/Base");
  assert.deepEqual(ignored.sort(), ["__proto__", "colour", "constructor", "from", "interval", "timezone"]);
  assert.deepEqual(view.filters, { source: ["web"] });
  assert.equal(view.from, DEFAULT_PERIOD.from);
});

test("any text at all gives a view", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (path, search) => {
      assert.ok(parse(`/${path}`, `?${search}`).view.page);
    }),
  );
});
