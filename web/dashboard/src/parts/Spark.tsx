// A small line without axes. The bucket in progress is not drawn: it would look like a crash.
import type { Point } from "../api/types";

const WIDTH = 120;
const HEIGHT = 28;

export function Spark({ points, isOpen = false }: { points: Point[]; isOpen?: boolean }) {
  const values = (isOpen ? points.slice(0, -1) : points).map(([, value]) => value ?? 0);
  if (values.length < 2) return <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  const most = Math.max(...values);
  const least = Math.min(...values, 0);
  const x = (index: number): number => (index / (values.length - 1)) * (WIDTH - 2) + 1;
  const y = (value: number): number => HEIGHT - 2 - ((value - least) / (most - least || 1)) * (HEIGHT - 5);
  const line = values.map((value, index) => `${index ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path class="spark-area" d={`${line}L${WIDTH - 1} ${HEIGHT}L1 ${HEIGHT}Z`} />
      <path class="spark-line" d={line} />
    </svg>
  );
}
