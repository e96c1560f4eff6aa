// Periods: what is typed, shifted and resolved; days are those of the zone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { axisLabel, bucketLabel, span } from "../src/show/times";
import { dayIn, intervalsOf, isTime, PERIODS, periodName, resolve, shifted, typedPeriod } from "../src/state/period";

const NOW = Date.parse("2026-11-29T23:30:00Z");

test("a day is the day of the zone", () => {
  assert.equal(dayIn("Europe/Berlin", NOW), "2026-11-30");
  assert.equal(dayIn("UTC", NOW), "2026-11-29");
  assert.equal(resolve("yesterday", "Europe/Berlin", NOW), "2026-11-29");
  assert.equal(resolve("month", "Asia/Tokyo", NOW), "2026-11-01");
  assert.equal(resolve("-24h", "UTC", NOW), "-24h");
});

test("people type lengths and dates", () => {
  assert.deepEqual(typedPeriod("90 min"), { from: "-90m", to: "" });
  assert.deepEqual(typedPeriod(" 14d "), { from: "-14d", to: "" });
  assert.deepEqual(typedPeriod("3 hours"), { from: "-3h", to: "" });
  assert.deepEqual(typedPeriod("2026-11-01..2026-11-07"), { from: "2026-11-01", to: "2026-11-08" });
  assert.deepEqual(typedPeriod("2026-11-01"), { from: "2026-11-01", to: "2026-11-02" });
  for (const wrong of ["", "soon", "2026-11-07..2026-11-01", "2026-13-45", "a..b..c"]) assert.equal(typedPeriod(wrong), null, wrong);
});

test("a step back and a step on; on ends at now", () => {
  assert.deepEqual(shifted("2026-11-08", "2026-11-15", -1, "UTC", NOW), { from: "2026-11-01", to: "2026-11-08" });
  assert.deepEqual(shifted("-24h", "", -1, "UTC", NOW), { from: "2026-11-27T23:30Z", to: "2026-11-28T23:30Z" });
  assert.deepEqual(shifted("2026-11-27T23:30Z", "2026-11-28T23:30Z", 1, "UTC", NOW), { from: "2026-11-28T23:30Z", to: "2026-11-29T23:30Z" });
  assert.equal(shifted("-24h", "", 1, "UTC", NOW), null);
  assert.deepEqual(shifted("today", "", -1, "UTC", NOW), { from: "yesterday", to: "today" });
});

test("every period has an interval, and a series at most 3,000 points", () => {
  const minutes = { minute: 1, hour: 60, day: 1440, week: 10_080, month: 43_200 };
  for (const { from, to } of [...PERIODS, { from: "-60d", to: "" }, { from: "-120m", to: "" }, { from: "-47h", to: "" }]) {
    const [first] = intervalsOf(from, to, "UTC", NOW);
    assert.ok(first && first in minutes, from);
  }
  assert.deepEqual(intervalsOf("-400d", "", "UTC", NOW), ["month", "week", "day"]);
});

test("times of the API and words of the page are times; others are not", () => {
  for (const good of ["now", "-24h", "today", "2026-11-01", "2026-11-01T10:00", "2026-11-01T10:00:00+01:00"]) assert.ok(isTime(good), good);
  for (const bad of ["", "-24y", "24h", "tomorrow", "2026-13-01", "<b>"]) assert.ok(!isTime(bad), bad);
});

test("labels are read from the bucket's own text, so no zone and no clock change can shift them", () => {
  assert.equal(axisLabel("2026-10-25T02:00:00+01:00", "hour"), "02:00");
  assert.equal(axisLabel("2026-10-25T00:00:00+02:00", "hour"), "25 Oct");
  assert.equal(bucketLabel("2026-11-29T15:28:00+01:00", "minute"), "Sun 29 Nov, 15:28");
  assert.equal(span("2026-11-28T16:00:00+01:00", "2026-11-29T17:00:00+01:00"), "28 Nov 16:00 – 29 Nov 17:00");
  assert.equal(periodName("-14d", ""), "Last 14 days");
});
