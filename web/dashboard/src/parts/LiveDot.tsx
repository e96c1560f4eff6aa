// One quiet dot with words: how fresh the numbers are, and what the connection does.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { asOf, clockOffset, type Connection, connection, isComplete, isPaused, pause, pausedAt, receivedAt, retry, serverNow, waiting } from "../live/board";
import { plural } from "../show/numbers";
import { timeOfDay } from "../show/times";
import { zone } from "../state/app";
import { Icon } from "./Icon";

const WORDS: Record<Connection, string> = {
  connecting: "connecting",
  live: "live",
  polling: "every 5 s",
  reconnecting: "reconnecting",
  offline: "offline",
  paused: "paused",
};

const SILENT_MS = { live: 5_000, polling: 12_000 };
/** Without numbers only a heartbeat comes, every 10 seconds. */
const SILENT_MS_OF_HEARTBEATS = 25_000;
const OLD_MS = 10_000;

export function useNow(everyMs: number) {
  const now = useSignal(Date.now());
  useEffect(() => {
    const timer = setInterval(() => (now.value = Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** Whether what is shown may be out of date, and how old it is. */
export function freshness(now: number): { state: string; words: string; age: number } {
  const age = asOf.value ? serverNow() - asOf.value : 0;
  if (isPaused.value) return { state: "paused", words: `paused at ${timeOfDay(pausedAt.value, zone.value)}`, age };
  const kind = connection.value;
  const silent = now - receivedAt.value;
  if (kind === "offline" || kind === "reconnecting") return { state: kind, words: WORDS[kind], age };
  if (!asOf.value) {
    const isDead = kind === "live" && receivedAt.value > 0 && silent > SILENT_MS_OF_HEARTBEATS;
    return isDead ? { state: "stale", words: `silent since ${timeOfDay(receivedAt.value + clockOffset.value, zone.value)}`, age } : { state: kind, words: WORDS[kind], age };
  }
  const isSilent = receivedAt.value > 0 && silent > (kind === "live" ? SILENT_MS.live : SILENT_MS.polling);
  if (isSilent || age > OLD_MS + (kind === "polling" ? 5_000 : 0)) return { state: "stale", words: `as of ${timeOfDay(asOf.value, zone.value)}`, age };
  return { state: kind, words: WORDS[kind], age };
}

export function LiveDot() {
  const now = useNow(500);
  const { state, words, age } = freshness(now.value);
  const isBehind = asOf.value > 0 && (state === "live" || state === "polling");
  return (
    <div class="live">
      <span class={`dot-state ${state}`} data-state={state} />
      <span class="live-words">
        <span role="status">{words}</span>
        {isBehind && <span class="quiet"> · {Math.max(0, age / 1000).toFixed(1)} s behind</span>}
        {state === "paused" && waiting.value > 0 && <span class="quiet"> · {plural(waiting.value, "change")} waiting</span>}
      </span>
      {(state === "reconnecting" || state === "offline") && (
        <button type="button" class="button small" onClick={retry}>
          Retry
        </button>
      )}
      <button
        type="button"
        class="button icon-only"
        aria-pressed={isPaused.value}
        aria-label={isPaused.value ? "Resume live updates" : "Pause live updates"}
        title={isPaused.value ? "Resume  (space)" : "Pause  (space)"}
        onClick={pause}
      >
        <Icon name={isPaused.value ? "play" : "pause"} />
      </button>
    </div>
  );
}

export function Banners() {
  const now = useNow(1_000);
  const { state, age } = freshness(now.value);
  return (
    <>
      {!isComplete.value && age > OLD_MS && (
        <div class="banner warn" role="status">
          The numbers stand still since {timeOfDay(asOf.value, zone.value)}: what came later is not counted yet.{" "}
          <a href="/settings/health">Look at the health of the platform</a>
        </div>
      )}
      {state === "paused" && (
        <div class="banner" role="status">
          Paused at {timeOfDay(pausedAt.value, zone.value)}. {waiting.value > 0 && `${plural(waiting.value, "change")} waiting. `}
          <button type="button" class="button small" onClick={pause}>
            Resume
          </button>
        </div>
      )}
    </>
  );
}
