// The head of a wall: project, clock in its zone, the dot. It keeps the screen awake, and reloads for a new build, or at night if it grew.
import { useEffect, useRef } from "preact/hooks";
import { build } from "../../live/board";
import { LiveDot, useNow } from "../../parts/LiveDot";
import { timeOfDay } from "../../show/times";
import { keepAwake } from "../../state/awake";
import { periodName } from "../../state/period";
import { project, view, zone } from "../../state/app";

const HEAP_MAX = 200_000_000;
const NIGHT_HOUR = "04";

export function WallHead({ about }: { about: string }) {
  const now = useNow(1_000);
  const first = useRef("");
  useEffect(() => keepAwake(), []);
  useEffect(() => {
    if (first.current && build.value !== first.current) location.reload();
    first.current = build.value;
  }, [build.value]);
  const time = timeOfDay(now.value, zone.value);
  const heap = (performance as unknown as { memory?: { usedJSHeapSize: number } }).memory?.usedJSHeapSize ?? 0;
  useEffect(() => {
    if (time.startsWith(NIGHT_HOUR) && heap > HEAP_MAX) location.reload();
  }, [time]);
  return (
    <header class="wall-head">
      <strong>{project.value?.name}</strong>
      <span class="quiet">
        {periodName(view.value.from, view.value.to)}
        {about && ` · ${about}`}
      </span>
      <LiveDot />
      <span class="wall-clock">
        {time} <span class="quiet">{zone.value.split("/").pop()?.replace(/_/g, " ")}</span>
      </span>
    </header>
  );
}
