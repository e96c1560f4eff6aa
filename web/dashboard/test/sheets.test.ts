// The rows that pages save as CSV.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer, Result } from "../src/api/types";
import { csvOfSheet, sheetOf, sheetOfSeries } from "../src/show/files";

const META = { complete: true, exact: true } as Answer["meta"];
const SPAN = { from: "2026-11-01T00:00:00+01:00", to: "2026-11-03T00:00:00+01:00", timezone: "Europe/Berlin" };
const DAYS = ["2026-11-01T00:00:00+01:00", "2026-11-02T00:00:00+01:00"];

const answerOf = (metric: string, results: Result[]): Answer => ({ ...SPAN, metric, unit: "count", interval: "day", results, meta: META });
const seriesOf = (metric: string, values: number[]): Answer =>
  answerOf(metric, [{ dimensions: {}, total: 0, previous: 9, points: values.map((value, index) => [DAYS[index] as string, value]) }]);

test("points: a row each, with the points before beside them", () => {
  assert.deepEqual(sheetOf(seriesOf("orders", [3, 4]), [1, null]), {
    head: ["time", "timezone", "orders", "before"],
    rows: [[DAYS[0], "Europe/Berlin", 3, 1], [DAYS[1], "Europe/Berlin", 4, null]],
  });
  assert.deepEqual(sheetOf(seriesOf("orders", [3, 4])).head, ["time", "timezone", "orders"]);
});

test("totals by a dimension: a row each, with the total before where there is one", () => {
  const results = [
    { dimensions: { country: "DE" }, total: 5, previous: 2, points: [] },
    { dimensions: { country: "=AT,1" }, total: 1, previous: null, points: [] },
  ];
  const period = `${SPAN.from}/${SPAN.to}`;
  const text = csvOfSheet(sheetOf(answerOf("visitors", results)));
  assert.equal(text, `time,timezone,country,visitors,before\r\n${period},Europe/Berlin,DE,5,2\r\n${period},Europe/Berlin,"'=AT,1",1,\r\n`);
});

test("several metrics over the same times: a column each", () => {
  const answers = [seriesOf("active_users", [1, 2]), seriesOf("weekly_active_users", [3, 4])];
  assert.deepEqual(sheetOfSeries(answers), {
    head: ["time", "timezone", "active_users", "weekly_active_users"],
    rows: [[DAYS[0], "Europe/Berlin", 1, 3], [DAYS[1], "Europe/Berlin", 2, 4]],
  });
});
