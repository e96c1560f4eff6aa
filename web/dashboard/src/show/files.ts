// What leaves the page: CSV, PNG, the clipboard; a query as a curl line and as Python.
import type { Query } from "../api/types";
import { tell } from "../state/app";

export type Cell = string | number | null | undefined;

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
  return `curl "${url}/v1/metrics/${metric}?${String(parameters).replace(/%2C/g, ",").replace(/%2F/g, "/")}" ${HEADER}`;
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
