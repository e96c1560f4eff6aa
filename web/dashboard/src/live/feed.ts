// The newest events: what came before from /v1/events/recent, what comes now over the socket; without one, by asking again.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { asProblem, get } from "../api/client";
import type { FeedItem, Problem } from "../api/types";
import { isLive, subscribeFeed } from "./board";
import { afterFirst } from "./first";

export interface FeedState {
  items: FeedItem[] | null;
  leftOut: number;
  shown: number;
  problem: Problem | null;
}

export type FeedFilter = Record<string, string[]>;

const ASK_MS = 3_000;

/** The newest first, each once, at most `limit`. */
export function merged(items: FeedItem[], arrived: FeedItem[], limit: number): FeedItem[] {
  const known = new Set(items.map(({ id }) => id));
  const fresh = arrived.filter(({ id }) => !known.has(id) && known.add(id));
  const at = (item: FeedItem): string => item.received_at ?? "";
  return [...fresh, ...items].sort((a, b) => (at(a) < at(b) ? 1 : at(a) > at(b) ? -1 : 0)).slice(0, limit);
}

export function recentPath(filter: FeedFilter, limit: number): string {
  const parameters = new URLSearchParams({ limit: String(limit) });
  for (const [name, values] of Object.entries(filter)) {
    const texts = values.length === 1 ? values.map((value) => value.replace(/,/g, "\\,")) : values;
    for (const value of texts) parameters.append(name, value);
  }
  return `/v1/events/recent?${parameters}`;
}

export function useFeed(filter: FeedFilter, limit: number): FeedState {
  const state = useSignal<FeedState>({ items: null, leftOut: 0, shown: 0, problem: null });
  const key = JSON.stringify([filter, limit]);
  useEffect(() => {
    let isWanted = true;
    let isRefused = false; // the socket gives no feed: then it is asked for
    state.value = { items: null, leftOut: 0, shown: 0, problem: null };
    const add = (arrived: FeedItem[], leftOut = 0): void => {
      const { items, ...before } = state.peek();
      state.value = {
        items: merged(items ?? [], arrived, limit),
        leftOut: before.leftOut + leftOut,
        shown: before.shown + arrived.length,
        problem: null,
      };
    };
    const ask = async (): Promise<void> => {
      try {
        const { items } = await get<{ items: FeedItem[] }>(recentPath(filter, limit));
        if (isWanted) add(items);
      } catch (error) {
        if (isWanted) state.value = { ...state.peek(), problem: asProblem(error) };
      }
    };
    void afterFirst().then(() => (isWanted ? ask() : undefined));
    const timer = setInterval(() => (isLive() && !isRefused) || document.hidden || void ask(), ASK_MS);
    const leave = subscribeFeed(
      filter,
      (items, leftOut) => add(items as FeedItem[], leftOut),
      () => {
        isRefused = true;
      },
    );
    return () => {
      isWanted = false;
      clearInterval(timer);
      leave();
    };
  }, [key]);
  return state.value;
}
