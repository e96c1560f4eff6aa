// node --test: the parts of the tracker that need no page, as they are built.
import assert from "node:assert/strict";
import { test } from "node:test";
import { build } from "esbuild";

const { outputFiles } = await build({
  absWorkingDir: new URL(".", import.meta.url).pathname,
  entryPoints: ["src/pure.ts"],
  bundle: true,
  format: "esm",
  write: false,
});
const pure = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);

test("a request has at most 100 events and 50 kB, and at least one event", () => {
  assert.equal(pure.chunkOf([]), 0);
  assert.equal(pure.chunkOf(Array(250).fill({ a: 1 })), 100);
  assert.equal(pure.chunkOf(Array(250).fill({ a: "x".repeat(9_990) })), 5);
  assert.equal(pure.chunkOf([{ a: "x".repeat(60_000) }, {}]), 1);
  assert.equal(pure.chunkOf(Array(250).fill({ a: "€".repeat(3_330) })), 5, "bytes, not characters");
});

test("waits double up to a minute and are spread; Retry-After is obeyed up to five minutes", () => {
  assert.deepEqual([1, 2, 3, 20].map((n) => pure.delayOf(n, null, 1)), [1_000, 2_000, 4_000, 60_000]);
  assert.equal(pure.delayOf(1, null, 0), 500);
  assert.equal(pure.delayOf(1, "7", 0), 7_000);
  assert.equal(pure.delayOf(1, "86400", 0), 300_000);
  assert.equal(pure.delayOf(1, "Wed, 21 Oct 2026 07:28:00 GMT", 1), 1_000);
});

test("only what may pass is sent again", () => {
  assert.deepEqual([200, 400, 401, 403, 404, 413, 408, 429, 500, 502, 503, 504].filter(pure.isPassing), [
    408, 429, 500, 502, 503, 504,
  ]);
});

test("an event that is twice in the queue is sent once", () => {
  const [a, b] = [{ messageId: "a" }, { messageId: "b" }];
  assert.deepEqual(pure.unique([a, b, { messageId: "a" }]), [a, b]);
});

test("a campaign has Segment's names", () => {
  assert.deepEqual(pure.campaignOf("?utm_source=a&utm_medium=b%20c&utm_campaign=d&utm_term=&utm_id=7&x=1"), {
    source: "a",
    medium: "b c",
    name: "d",
    id: "7",
  });
  assert.equal(pure.campaignOf("?q=utm_source"), undefined);
});

test("downloads are known by their ending", () => {
  assert.ok(["/a/Prices.PDF", "/b.tar.gz", "/c.xlsx", "/d.odt", "/e.mp4"].every(pure.isDownload));
  assert.ok(!["/", "/pdf", "/a.html", "/a.pdf/", "/a.pdfx"].some(pure.isDownload));
});

test("a commerce event has a method", () => {
  assert.equal(pure.methodOf("Product Viewed"), "productViewed");
});
