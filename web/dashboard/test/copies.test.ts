// What pages copy. The Python lines of the file are run by the client's own tests (tests/unit/client).
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Query } from "../src/api/types";
import { curlOf, curlOfAll, pythonOf } from "../src/show/files";

declare const GOLDEN: string;

interface Copy {
  about: string;
  query: Query;
  lines: string[];
}

const COPIES = JSON.parse(readFileSync(join(GOLDEN, "python_lines.json"), "utf8")) as Copy[];
const URL_OF_TEST = "http://127.0.0.1:8000";

/** The words of a curl line as a shell passes them on. */
function wordsOf(line: string): string[] {
  const output = execFileSync("sh", ["-c", line.replace(/^curl/, "printf '%s\\0'")], { env: { ...process.env, RTA_KEY: "rta_r_x" } });
  return output.toString().split("\0").slice(0, -1);
}

test("the curl line of several queries asks exactly these", () => {
  const queries = COPIES.map(({ query }) => query);
  const [address, ...options] = wordsOf(curlOfAll(queries, URL_OF_TEST));
  assert.equal(address, `${URL_OF_TEST}/v1/query`);
  assert.deepEqual(options.slice(0, 3), ["-H", "Authorization: Bearer rta_r_x", "-d"]);
  assert.deepEqual(JSON.parse(options[3] ?? ""), { queries });
});

test("the curl line of one query has its period, zone and filters", () => {
  const query = { metric: "orders", from: "2026-11-01", timezone: "Europe/Berlin", filters: { product_id: ["p $1"], country: ["DE", "AT"] } };
  const address = new URL(wordsOf(curlOf(query, URL_OF_TEST))[0] ?? "");
  assert.equal(address.pathname, "/v1/metrics/orders");
  assert.deepEqual(Object.fromEntries(address.searchParams), { from: "2026-11-01", timezone: "Europe/Berlin", product_id: "p $1", country: "DE,AT" });
});

for (const { about, query, lines } of COPIES) {
  test(`a query as Python: ${about}`, () => {
    assert.equal(pythonOf(query, URL_OF_TEST), lines.join("\n"));
  });
}
