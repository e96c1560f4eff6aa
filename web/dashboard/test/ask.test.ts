// What pages ask after a refusal, and what they say of it. The problems are as the API words them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Problem, Query } from "../src/api/types";
import { metrics, project, view } from "../src/state/app";
import { isRefused, learn, queryOf, reasonOf } from "../src/state/ask";
import { emptyView } from "../src/state/url";

function refuse(query: Query, field: string, allowed: unknown = null): Problem {
  const problem = { type: "/problems/invalid-parameter", title: "A parameter is wrong", status: 422, detail: `${field} of ${query.metric}`, field: `queries.0.${field}`, allowed, hint: null };
  learn([query], problem);
  return problem;
}

function open(change: Partial<ReturnType<typeof emptyView>>): void {
  project.value = { zone: "Europe/Berlin" } as NonNullable<typeof project.value>;
  metrics.value = new Map();
  view.value = { ...emptyView(), compare: "none", ...change };
}

test("buckets that do not fall on the hours of the zone: the total is asked, and the reason is known", () => {
  open({ from: "-7d", timezone: "Asia/Kathmandu" });
  const problem = refuse(queryOf("orders", { interval: "hour" }), "timezone", ["Europe/Berlin"]);
  const query = queryOf("orders", { interval: "hour" });
  assert.equal(query.interval, "none");
  assert.equal(isRefused(query), false);
  assert.deepEqual(reasonOf(query), { lost: "points", problem });
});

test("another zone or period is asked as it is wanted", () => {
  open({ from: "-7d", timezone: "Asia/Tokyo" });
  assert.equal(queryOf("orders", { interval: "hour" }).interval, "hour");
  open({ from: "-24h", timezone: "Asia/Kathmandu" });
  assert.equal(queryOf("orders", { interval: "hour" }).interval, "hour");
  assert.equal(reasonOf(queryOf("orders", { interval: "hour" })), undefined);
});

test("a total that is refused too is not asked, and the reason is known", () => {
  open({ from: "-7d", timezone: "Asia/Kathmandu" });
  refuse(queryOf("sessions", { interval: "hour" }), "timezone", ["Europe/Berlin"]);
  const problem = refuse(queryOf("sessions", { interval: "hour" }), "timezone", ["Europe/Berlin"]);
  const query = queryOf("sessions", { interval: "hour" });
  assert.equal(isRefused(query), true);
  assert.deepEqual(reasonOf(query), { lost: "all", problem });
});

test("after a refused interval the next coarser one is asked, and never a finer one again", () => {
  open({ from: "-30d" });
  const allowed = ["hour", "day", "week", "month", "none"];
  refuse(queryOf("visitors", { interval: "minute" }), "interval", allowed);
  assert.equal(queryOf("visitors", { interval: "minute" }).interval, "hour");
  refuse(queryOf("visitors", { interval: "minute" }), "interval", allowed.slice(1));
  const query = queryOf("visitors", { interval: "minute" });
  assert.equal(query.interval, "day");
  refuse(query, "interval", allowed.filter((name) => name !== "day"));
  assert.equal(queryOf("visitors", { interval: "minute" }).interval, "week");
  assert.equal(reasonOf(queryOf("visitors", { interval: "minute" }))?.lost, "detail");
});

test("a period before that is not kept: asked without comparison", () => {
  open({ from: "-300d", compare: "previous_period" });
  refuse(queryOf("units", { interval: "day" }), "compare");
  const query = queryOf("units", { interval: "day" });
  assert.equal(query.compare, undefined);
  assert.equal(query.interval, "day");
  assert.equal(reasonOf(query)?.lost, "comparison");
});

test("a dimension that is not kept is refused in every period; a wrong time only in its own", () => {
  open({ from: "-24h", filters: { country: ["DE"] } });
  refuse(queryOf("refunds"), "filters");
  refuse(queryOf("orders"), "from");
  open({ from: "-7d", filters: { country: ["AT"] } });
  assert.equal(isRefused(queryOf("refunds")), true);
  assert.equal(isRefused(queryOf("orders")), false);
});
