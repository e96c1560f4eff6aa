// Hooks: a part asks, and gets a signal.
import { type ReadonlySignal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { asProblem, get } from "../api/client";
import type { Problem, Query } from "../api/types";
import { learn } from "../state/ask";
import { type Asked, shownFor, subscribe } from "./board";
import { afterFirst } from "./first";

export interface Shown extends Asked {
  /** The answers belong to another period or filter than is asked now. */
  isOld: boolean;
}

/** Live answers to these queries. Until new ones are there, the old ones stay and say that they are old. */
export function useAnswers(queries: Query[]): Shown {
  const key = JSON.stringify(queries);
  const last = useRef<Asked>({ answers: null, problem: null });
  const current = useSignal<{ key: string; shown: ReadonlySignal<Asked> } | null>(null);
  useEffect(() => {
    if (!queries.length) {
      current.value = null;
      return;
    }
    const { shown, release } = subscribe(queries);
    current.value = { key, shown };
    return release;
  }, [key]);
  const shown = current.value?.key === key ? current.value.shown : shownFor(key); // before the effect: what was asked first
  const asked = shown?.value ?? null;
  const problem = asked?.problem ?? null;
  useEffect(() => {
    if (problem) learn(queries, problem);
  }, [problem]);
  if (!queries.length) return { answers: null, problem: null, isOld: false };
  if (asked && (asked.answers || asked.problem)) {
    last.current = asked;
    return { ...asked, isOld: false };
  }
  return { answers: last.current.answers, problem: null, isOld: last.current.answers !== null };
}

export interface Loaded<Body> {
  body: Body | null;
  problem: Problem | null;
  isOld: boolean;
  reload: () => void;
}

/** What has no stream: read once, again every `everyMs` (0: never) and when the path changes. */
export function useLoad<Body>(path: string, everyMs = 0): Loaded<Body> {
  const state = useSignal<{ path: string; body: Body | null; problem: Problem | null }>({ path: "", body: null, problem: null });
  const round = useSignal(0);
  useEffect(() => {
    if (!path) return;
    let isWanted = true;
    const load = async (): Promise<void> => {
      try {
        const body = await get<Body>(path);
        if (isWanted) state.value = { path, body, problem: null };
      } catch (error) {
        if (isWanted) state.value = { path, body: state.peek().path === path ? state.peek().body : null, problem: asProblem(error) };
      }
    };
    void afterFirst().then(() => (isWanted ? load() : undefined));
    const timer = everyMs ? window.setInterval(() => document.hidden || void load(), everyMs) : 0;
    return () => {
      isWanted = false;
      clearInterval(timer);
    };
  }, [path, everyMs, round.value]);
  const { body, problem } = state.value;
  return { body, problem, isOld: body !== null && state.value.path !== path, reload: () => (round.value += 1) };
}
