// What leaves the page: CSV, PNG, the clipboard; a query as a curl line and as Python.
import type { Answer, Query } from "../api/types";
import { tell } from "../state/app";

export type Cell = string | number | null | undefined;

/** What a card shows, as rows: its table, its CSV. */
export interface Sheet {
  head: string[];
  rows: Cell[][];
}

/** RFC 4180. A text that a spreadsheet would run as a formula gets an apostrophe. */
export function csvOf(rows: Cell[][]): string {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: Cell): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

export const csvOfSheet = ({ head, rows }: Sheet): string => csvOf([head, ...rows]);

/** An answer as rows: a row for each point, or for each total where there are no points. */
export function sheetOf(answer: Answer, before?: (number | null)[]): Sheet {
  const dimensions = Object.keys(answer.results[0]?.dimensions ?? {});
  const isTotals = answer.results.every(({ points }) => !points.length);
  const hasBefore = isTotals ? answer.results.some(({ previous }) => previous !== null) : before !== undefined;
  const rows = answer.results.flatMap((row): Cell[][] => {
    const own = dimensions.map((name) => row.dimensions[name]);
    if (isTotals) return [[`${answer.from}/${answer.to}`, answer.timezone, ...own, row.total, ...(hasBefore ? [row.previous] : [])]];
    return row.points.map(([time, value], index) => [time, answer.timezone, ...own, value, ...(before ? [before[index]] : [])]);
  });
  return { head: ["time", "timezone", ...dimensions, answer.metric, ...(hasBefore ? ["before"] : [])], rows };
}

/** Several metrics over the same times, each in its column. */
export function sheetOfSeries(answers: Answer[]): Sheet {
  const times = answers[0]?.results[0]?.points.map(([time]) => time) ?? [];
  const columns = answers.map((answer) => new Map(answer.results[0]?.points ?? []));
  return {
    head: ["time", "timezone", ...answers.map(({ metric }) => metric)],
    rows: times.map((time) => [time, answers[0]?.timezone, ...columns.map((values) => values.get(time))]),
  };
}

export function save(name: string, content: Blob | string): void {
  const blob = typeof content === "string" ? new Blob([content], { type: "text/csv;charset=utf-8" }) : content;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    tell(`${what} copied`);
  } catch {
    tell("The browser did not allow copying", "bad");
  }
}

export const fileName = (...parts: (string | undefined)[]): string =>
  parts
    .filter(Boolean)
    .join("_")
    .replace(/[^\w.-]+/g, "-");

const HEADER = '-H "Authorization: Bearer $RTA_KEY"';

/** A read of the API by its path, whose parameters are percent-encoded. */
export const curlOfPath = (path: string, url = location.origin): string => `curl "${url}${path}" ${HEADER}`;

/** The queries as one request of the API, which answers them as of one moment. */
export const curlOfAll = (queries: Query[], url = location.origin): string =>
  `curl ${url}/v1/query ${HEADER} -d '${JSON.stringify({ queries }).replace(/'/g, "'\\''")}'`;

/** The query as a request of the API: its parameters, or its body where a value has a comma. */
export function curlOf(query: Query, url = location.origin): string {
  const values = Object.values(query.filters ?? {}).flat();
  if (values.some((value) => value.includes(","))) return curlOfAll([query], url);
  const { metric, filters = {}, breakdown, ...simple } = query;
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(simple)) if (value !== undefined) parameters.append(name, String(value));
  if (breakdown?.length) parameters.append("breakdown", breakdown.join(","));
  for (const [name, list] of Object.entries(filters)) parameters.append(name, list.join(","));
  return curlOfPath(`/v1/metrics/${metric}?${String(parameters).replace(/%2C/g, ",").replace(/%2F/g, "/")}`, url);
}

/** The query as lines of Python: `rtaplatform.client` asks it, and prints its rows. */
export function pythonOf(query: Query, url = location.origin): string {
  const { metric, from, to, interval, timezone, filters, breakdown, limit, compare } = query;
  const more = { start: from, end: to, interval, timezone, filters, breakdown, limit, compare };
  const chosen = Object.entries(more).filter(([, value]) => value !== undefined);
  return [
    "import os",
    "",
    "from rtaplatform.client import Client, Question",
    "",
    `client = Client("${url}", key=os.environ["RTA_KEY"])`,
    "(answer,) = client.ask(",
    "    Question(",
    ...[literal(metric), ...chosen.map(([name, value]) => `${name}=${literal(value)}`)].map((line) => `        ${line},`),
    "    )",
    ")",
    "for row in answer.rows:",
    "    print(row.dimensions, row.total)",
    "",
  ].join("\n");
}

/** Of texts, whole numbers, lists and objects. JSON writes these as Python does. */
function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${JSON.stringify(name)}: ${literal(inner)}`).join(", ")}}`;
}
