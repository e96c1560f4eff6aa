// Who needs which answers. One socket carries all of them; where there is none, POST /v1/query every 5 seconds.
import { batch, effect, type Signal, signal } from "@preact/signals";
import { asProblem, QUERIES_MAX, query as askQueries, watchers } from "../api/client";
import type { Answer, AnswerUpdate, Problem, Query } from "../api/types";
import { session } from "../state/app";
import { afterFirst } from "./first";
import { applyUpdates } from "./reducer";
import { LiveSocket } from "./socket";

export type Connection = "connecting" | "live" | "polling" | "reconnecting" | "offline" | "paused";

export interface Asked {
  answers: Answer[] | null;
  problem: Problem | null;
}

interface Subscription {
  id: string;
  queries: Query[];
  shown: Signal<Asked>;
  latest: Asked;
  version: string;
  readers: number;
  endTimer: number;
}

const POLL_MS = 5_000;
const LINGER_MS = 1_500;
const HIDDEN_MS = 60_000;
const FAILURES_BEFORE_POLLING = 2;
const SOCKET_DELAY_MS = 250;
const HEADER_DELAY_MS = 1_500; // the header has whole seconds

export const connection = signal<Connection>("connecting");
export const asOf = signal(0);
export const receivedAt = signal(0);
export const isComplete = signal(true);
export const waiting = signal(0);
export const build = signal("");
export const isPaused = signal(false);
export const pausedAt = signal(0);
/** The server's clock minus this browser's: ages never depend on a wrong clock. */
export const clockOffset = signal(0);
export const serverNow = (): number => Date.now() + clockOffset.value;

const subscriptions = new Map<string, Subscription>();
const feeds = new Map<string, { feed: object; onEvents: (items: unknown[], leftOut: number) => void; onProblem: (problem: Problem) => void }>();
const fresh = new Set<Subscription>();
let names = 0;
let pollTimer = 0;
let hiddenTimer = 0;
let isPolling = false;

const socket = new LiveSocket("/v1/live/ws", { onOpen: subscribeAll, onMessage: receive, onDown });

export const isLive = (): boolean => socket.isOpen;

/** Answers to these queries (each metric once), for as long as somebody reads them. */
export function subscribe(queries: Query[]): { shown: Signal<Asked>; release: () => void } {
  const key = JSON.stringify(queries);
  let subscription = subscriptions.get(key);
  if (!subscription) {
    const none = { answers: null, problem: null };
    subscription = { id: `q${++names}`, queries, shown: signal<Asked>(none), latest: none, version: "", readers: 0, endTimer: 0 };
    subscriptions.set(key, subscription);
    if (socket.isOpen) sendSubscribe(subscription);
    else askSoon(subscription);
  }
  const taken = subscription;
  taken.readers += 1;
  clearTimeout(taken.endTimer);
  return { shown: taken.shown, release: () => releaseLater(taken, key) };
}

/** What is there already for these queries, as JSON: others ask them, or did a moment ago. */
export const shownFor = (key: string): Signal<Asked> | undefined => subscriptions.get(key)?.shown;

function releaseLater(subscription: Subscription, key: string): void {
  subscription.readers -= 1;
  if (subscription.readers > 0) return;
  subscription.endTimer = window.setTimeout(() => {
    subscriptions.delete(key);
    fresh.delete(subscription);
    socket.send({ type: "unsubscribe", id: subscription.id });
    if (!subscriptions.size) forgetFreshness();
  }, LINGER_MS);
}

/** A page without numbers has none that could be old. */
function forgetFreshness(): void {
  asOf.value = 0;
  isComplete.value = true;
}

export function subscribeFeed(
  feed: object,
  onEvents: (items: unknown[], leftOut: number) => void,
  onProblem: (problem: Problem) => void,
): () => void {
  const id = `f${++names}`;
  feeds.set(id, { feed, onEvents, onProblem });
  socket.send({ type: "subscribe", id, feed });
  return () => {
    feeds.delete(id);
    socket.send({ type: "unsubscribe", id });
  };
}

export function start(): void {
  watchers.serverTime = (now) => noteServerTime(now, HEADER_DELAY_MS);
  effect(() => (session.value === "in" ? resume() : halt()));
  addEventListener("online", () => socket.retry());
  addEventListener("offline", () => (connection.value = "offline"));
  document.addEventListener("visibilitychange", onVisibility);
}

/** What a message tells is a little old, by how long it was under way: a smaller difference is none. */
function noteServerTime(now: number, delayMs: number): void {
  const offset = now - Date.now();
  if (Math.abs(clockOffset.peek() - offset) > delayMs) clockOffset.value = offset;
}

function resume(): void {
  void afterFirst().then(() => session.peek() === "in" && socket.open());
  schedulePoll(FAILURES_BEFORE_POLLING * 1_000);
}

function halt(): void {
  socket.close();
  clearTimeout(pollTimer);
}

function onVisibility(): void {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = window.setTimeout(halt, HIDDEN_MS);
  else if (session.value === "in") {
    resume();
    socket.retry();
  }
}

export function pause(): void {
  isPaused.value = !isPaused.value;
  pausedAt.value = serverNow();
  if (!isPaused.value) publishAll();
}

function publishAll(): void {
  batch(() => {
    waiting.value = 0;
    for (const subscription of subscriptions.values()) subscription.shown.value = subscription.latest;
  });
}

export function retry(): void {
  socket.retry();
  void poll();
}

// over the socket ---------------------------------------------------------------------------------------------

function sendSubscribe(subscription: Subscription): void {
  const since = subscription.version && subscription.latest.answers ? { since: subscription.version } : {};
  socket.send({ type: "subscribe", id: subscription.id, query: subscription.queries, ...since });
}

function subscribeAll(): void {
  isPolling = false;
  connection.value = "live";
  for (const subscription of subscriptions.values()) sendSubscribe(subscription);
  for (const [id, { feed }] of feeds) socket.send({ type: "subscribe", id, feed });
}

function receive(message: Record<string, unknown>): void {
  receivedAt.value = Date.now();
  if (connection.peek() === "offline") connection.value = "live"; // the browser said so, but the line still carries
  if (typeof message.now === "string") noteServerTime(Date.parse(message.now), SOCKET_DELAY_MS);
  if (message.type === "hello") build.value = String(message.build ?? "");
  const id = String(message.id ?? "");
  const feed = feeds.get(id);
  if (feed) {
    if (message.type === "events") feed.onEvents(message.items as unknown[], Number(message.left_out ?? 0));
    if (message.type === "error") feed.onProblem(message.problem as Problem);
    return;
  }
  const subscription = [...subscriptions.values()].find((one) => one.id === id);
  if (subscription) receiveAnswers(subscription, message);
}

function receiveAnswers(subscription: Subscription, message: Record<string, unknown>): void {
  if (message.version) subscription.version = String(message.version);
  if (message.type === "snapshot") publish(subscription, { answers: message.answers as Answer[], problem: null });
  else if (message.type === "update") {
    const { answers } = subscription.latest;
    if (answers) publish(subscription, { answers: applyUpdates(answers, message.answers as AnswerUpdate[]), problem: null });
  } else if (message.type === "error") {
    publish(subscription, { answers: subscription.latest.answers, problem: message.problem as Problem });
  }
}

function onDown(failures: number): void {
  connection.value = navigator.onLine === false ? "offline" : isPolling ? "polling" : failures > 1 ? "reconnecting" : connection.peek();
  if (failures >= FAILURES_BEFORE_POLLING && !isPolling) {
    isPolling = true;
    void poll();
  }
}

// by polling --------------------------------------------------------------------------------------------------

function schedulePoll(delay: number): void {
  clearTimeout(pollTimer);
  pollTimer = window.setTimeout(() => void poll(), delay);
}

async function poll(): Promise<void> {
  // With a socket only what has no answer yet: a first request may have failed while the socket waits for the same server.
  const isMissing = ({ latest }: Subscription): boolean => !socket.isOpen || !latest.answers;
  const list = [...subscriptions.values()].filter((one) => one.latest.problem?.status !== 422 && isMissing(one));
  if (list.length && session.value === "in") await ask(list);
  schedulePoll(POLL_MS);
}

/** A first answer does not wait for the socket. Questions of one turn go together. */
function askSoon(subscription: Subscription): void {
  fresh.add(subscription);
  void afterFirst().then(askFresh);
}

function askFresh(): void {
  const list = [...fresh].filter((one) => !one.latest.answers);
  fresh.clear();
  void ask(list);
}

async function ask(list: Subscription[]): Promise<void> {
  const rounds: Subscription[][] = [];
  let size = QUERIES_MAX + 1;
  for (const subscription of list) {
    if (size + subscription.queries.length > QUERIES_MAX) {
      rounds.push([]);
      size = 0;
    }
    rounds[rounds.length - 1]?.push(subscription);
    size += subscription.queries.length;
  }
  await Promise.all(rounds.map(askRound));
}

async function askRound(round: Subscription[]): Promise<void> {
  try {
    const answers = await askQueries(round.flatMap((subscription) => subscription.queries));
    if (!socket.isOpen && isPolling) connection.value = "polling";
    let next = 0;
    for (const subscription of round) {
      const own = answers.slice(next, next + subscription.queries.length);
      next += subscription.queries.length;
      publish(subscription, { answers: own, problem: null });
    }
  } catch (error) {
    const problem = asProblem(error);
    const wrong = problem.status === 422 && round.length > 1 ? wrongOf(round, problem) : null;
    if (!wrong) return fail(round, problem);
    // One wrong question must not take the others with it.
    fail([wrong.subscription], wrong.problem);
    await askRound(round.filter((one) => one !== wrong.subscription));
  }
}

/** Whose question a problem of the round is about, and the problem as that subscription has it. */
function wrongOf(round: Subscription[], problem: Problem): { subscription: Subscription; problem: Problem } | null {
  const place = /^queries\.(\d+)(.*)$/.exec(problem.field ?? "");
  let first = 0;
  for (const subscription of place ? round : []) {
    const index = Number(place?.[1]) - first;
    if (index < subscription.queries.length) return { subscription, problem: { ...problem, field: `queries.${index}${place?.[2]}` } };
    first += subscription.queries.length;
  }
  return null;
}

function fail(round: Subscription[], problem: Problem): void {
  if (problem.status === 401) return;
  if (problem.status === 0) connection.value = navigator.onLine === false ? "offline" : "reconnecting";
  for (const subscription of round) {
    const isPassing = problem.status === 0 || problem.status >= 500 || problem.status === 429;
    if (!(isPassing && subscription.latest.answers)) publish(subscription, { answers: subscription.latest.answers, problem });
  }
}

function publish(subscription: Subscription, asked: Asked): void {
  subscription.latest = asked;
  batch(() => {
    receivedAt.value = Date.now();
    noteFreshness(asked.answers ?? []);
    if (isPaused.value && subscription.shown.peek().answers) waiting.value += 1;
    else subscription.shown.value = asked;
  });
}

function noteFreshness(answers: Answer[]): void {
  for (const { meta } of answers) asOf.value = Math.max(asOf.peek(), Date.parse(meta.as_of ?? "") || 0);
  // An answer about a time that is no longer kept is not complete either, whatever the platform does.
  if (answers.length) isComplete.value = answers.some(({ meta }) => meta.complete);
}
