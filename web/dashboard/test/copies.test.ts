// What Explore copies. The Python lines of the file are run by the client's own tests (tests/unit/client).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Query } from "../src/api/types";
import { pythonOf } from "../src/show/files";

declare const GOLDEN: string;

interface Copy {
  about: string;
  query: Query;
  lines: string[];
}

for (const { about, query, lines } of JSON.parse(readFileSync(join(GOLDEN, "python_lines.json"), "utf8")) as Copy[]) {
  test(`a query as Python: ${about}`, () => {
    assert.equal(pythonOf(query, "http://127.0.0.1:8000"), lines.join("\n"));
  });
}
