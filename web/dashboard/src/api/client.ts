// Requests to the API. The session cookie is the key; an error is a problem document.
import type { Answer, Problem, Query } from "./types";

export const QUERIES_MAX = 20;
const QUERY_PATH = "/v1/query";
const ANSWER_MS = 30_000;

export class ApiProblem extends Error {
  constructor(readonly problem: Problem) {
    super(problem.detail || problem.title);
  }
}

export interface Reply<Body> {
  body: Body;
  etag: string | null;
}

/** What to call when the session is known (the page is drawn after it), when it has ended, and when the server has told its time. */
export const watchers = { signedIn: async (): Promise<void> => {}, signedOut: () => {}, serverTime: (_now: number) => {} };

/** What `early.ts` has asked already. Each is taken once. */
const early = (globalThis as { early?: Map<string, Promise<Response>> }).early ?? new Map<string, Promise<Response>>();

function takeEarly(path: string): Promise<Response> | undefined {
  const response = early.get(path);
  early.delete(path);
  return response;
}

function unreachable(): Problem {
  return {
    type: "/problems/unreachable",
    title: "The server does not answer",
    status: 0,
    detail: "The page could not reach the API.",
    hint: "It tries again by itself.",
  };
}

async function problemOf(response: Response): Promise<Problem> {
  const fallback = {
    type: "about:blank",
    title: response.statusText || "Error",
    status: response.status,
    detail: `The server answered ${response.status}.`,
  };
  try {
    return { ...fallback, ...((await response.json()) as Partial<Problem>), status: response.status };
  } catch {
    return fallback;
  }
}

export async function request(path: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  // A question may be asked again, so it need not wait for a line that is dead. A change may be under way.
  const signal = options.method && path !== QUERY_PATH ? {} : { signal: AbortSignal.timeout(ANSWER_MS) };
  try {
    response = await (takeEarly(path) ?? fetch(path, { ...options, ...signal, credentials: "same-origin", cache: "no-store" }));
  } catch {
    throw new ApiProblem(unreachable());
  }
  const date = Date.parse(response.headers.get("date") ?? "");
  if (date) watchers.serverTime(date + 500);
  if (response.ok) return response;
  if (response.status === 401) watchers.signedOut();
  throw new ApiProblem(await problemOf(response));
}

export async function get<Body>(path: string): Promise<Body> {
  return (await request(path)).json() as Promise<Body>;
}

export async function getWithEtag<Body>(path: string): Promise<Reply<Body>> {
  const response = await request(path);
  return { body: (await response.json()) as Body, etag: response.headers.get("etag") };
}

export async function send<Body>(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply<Body>> {
  const isJson = body !== undefined && typeof body !== "string";
  const response = await request(path, {
    method,
    headers: isJson ? { "content-type": "application/json", ...headers } : headers,
    ...(body === undefined ? {} : { body: isJson ? JSON.stringify(body) : (body as string) }),
  });
  const text = await response.text();
  return { body: (text ? JSON.parse(text) : null) as Body, etag: response.headers.get("etag") };
}

export async function query(queries: Query[]): Promise<Answer[]> {
  const { body } = await send<{ answers: Answer[] }>("POST", QUERY_PATH, { queries });
  return body.answers;
}

export function asProblem(error: unknown): Problem {
  if (error instanceof ApiProblem) return error.problem;
  return { type: "about:blank", title: "The page has a bug", status: 0, detail: String(error) };
}
