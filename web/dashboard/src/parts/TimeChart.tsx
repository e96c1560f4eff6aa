// Values over buckets. x is the bucket's number: no zone and no clock change can shift it. Arrow keys walk the
// points, `t` shows the table, a drag zooms.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Shown } from "../show/numbers";
import { exact, onAxis } from "../show/numbers";
import { axisLabel, bucketLabel } from "../show/times";
import { type Box, indexAt, labelled, pathOf, type Series, tickKind, ticksFor, xOf, yOf } from "./chart-scale";
import { ChartTable } from "./ChartTable";

export interface ChartProps extends Shown {
  times: string[];
  interval: string;
  series: Series[];
  before?: (number | null)[] | undefined;
  isOpen: boolean;
  summary: string;
  asTable?: boolean;
  shape?: "line" | "bars";
  height?: number;
  onZoom?: (from: number, to: number) => void;
}

const DRAG_PIXELS = 6;

export function TimeChart(props: ChartProps) {
  const { times, series, interval, before, isOpen, summary, onZoom, height = 260, shape = "line" } = props;
  const frame = useRef<HTMLDivElement>(null);
  const width = useSignal(0);
  const at = useSignal<number | null>(null);
  const drag = useSignal<[number, number] | null>(null);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(() => (width.value = element.clientWidth));
    observer.observe(element);
    width.value = element.clientWidth;
    return () => observer.disconnect();
  }, [props.asTable]);
  if (props.asTable) return <ChartTable {...props} />;

  const count = times.length;
  const all = [...series.flatMap(({ values }) => values), ...(before ?? [])].filter((value) => value !== null);
  const ticks = ticksFor(Math.min(0, ...all), Math.max(0, ...all), height < 240 ? 3 : 4, tickKind(props.unit));
  const words = ticks.map((tick) => onAxis(tick, props));
  const labels = words.every((word) => !/\.\d/.test(word) || /\.00$/.test(word)) ? words.map((word) => word.replace(/\.00$/, "")) : words;
  const left = Math.max(...labels.map((label) => label.length)) * 6.6 + 14;
  const box: Box = { left, top: 10, width: Math.max(10, width.value - left - 14), height: height - 38 };
  const closed = isOpen ? count - 1 : count;
  const point = at.value === null ? null : Math.min(at.value, count - 1);

  const toX = (event: PointerEvent): number => event.clientX - (frame.current?.getBoundingClientRect().left ?? 0);
  const move = (event: PointerEvent): void => {
    at.value = indexAt(toX(event), count, box);
    if (drag.value) drag.value = [drag.value[0], toX(event)];
  };
  const end = (): void => {
    const range = drag.value;
    drag.value = null;
    if (!range || !onZoom || Math.abs(range[1] - range[0]) <= DRAG_PIXELS) return;
    const [first, last] = [indexAt(Math.min(...range), count, box), indexAt(Math.max(...range), count, box)];
    onZoom(first, last);
  };
  const key = (event: KeyboardEvent): void => {
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, Home: -count, End: count };
    const step = steps[event.key];
    if (step === undefined || !count) return;
    event.preventDefault();
    at.value = Math.max(0, Math.min(count - 1, (at.value ?? (step > 0 ? -1 : count)) + step));
  };

  return (
    <figure class="chart" ref={frame}>
      <figcaption class="hidden">{summary}</figcaption>
      {width.value > 0 && (
        <svg
          width={width.value}
          height={height}
          role="img"
          aria-label={`${summary} Arrow keys read the points; t shows the table.`}
          tabIndex={0}
          onPointerMove={move}
          onPointerDown={(event) => onZoom && (drag.value = [toX(event), toX(event)])}
          onPointerUp={end}
          onPointerLeave={() => {
            at.value = null;
            drag.value = null;
          }}
          onKeyDown={key}
          onBlur={() => (at.value = null)}
        >
          <Grid ticks={ticks} labels={labels} box={box} />
          {labelled(count, box.width, 64).map((index) => (
            <text class="axis" key={index} x={xOf(index, count, box)} y={height - 8} text-anchor="middle">
              {axisLabel(times[index] ?? "", interval)}
            </text>
          ))}
          {before && <path class="line before" d={pathOf(before, count, ticks, box)} />}
          {shape === "bars"
            ? series.map((one, place) => (
                <Bars key={one.name} series={one} place={place} of={series.length} {...{ count, closed, ticks, box }} />
              ))
            : series.map((one) => (
                <Line key={one.name} series={one} hasArea={series.length === 1} {...{ count, closed, ticks, box }} />
              ))}
          {drag.value && (
            <rect class="zoom" x={Math.min(...drag.value)} y={box.top} width={Math.abs(drag.value[1] - drag.value[0])} height={box.height} />
          )}
          {point !== null && <Cursor series={series} {...{ point, count, ticks, box }} />}
        </svg>
      )}
      {point !== null && <Tip {...props} point={point} x={xOf(point, count, box)} width={width.value} isLast={isOpen && point === count - 1} />}
      <div class="hidden" aria-live="polite">
        {point !== null && document.activeElement?.parentElement === frame.current ? spoken(props, point) : ""}
      </div>
    </figure>
  );
}

const spoken = (props: ChartProps, point: number): string =>
  `${bucketLabel(props.times[point] ?? "", props.interval)}: ${props.series
    .map(({ name, values }) => `${props.series.length > 1 ? `${name} ` : ""}${exact(values[point], props)}`)
    .join(", ")}`;

interface Drawn {
  count: number;
  ticks: number[];
  box: Box;
}

function Grid({ ticks, labels, box }: { ticks: number[]; labels: string[]; box: Box }) {
  return (
    <g>
      {ticks.map((tick, index) => (
        <g key={tick}>
          <line class={index ? "grid" : "grid base"} x1={box.left} x2={box.left + box.width} y1={yOf(tick, ticks, box)} y2={yOf(tick, ticks, box)} />
          <text class="axis" x={box.left - 8} y={yOf(tick, ticks, box) + 4} text-anchor="end">
            {labels[index]}
          </text>
        </g>
      ))}
    </g>
  );
}

function Line({ series, hasArea, count, closed, ticks, box }: Drawn & { series: Series; hasArea: boolean; closed: number }) {
  const whole = series.values.slice(0, closed);
  const line = pathOf(whole, count, ticks, box);
  const base = yOf(Math.max(0, ticks[0] ?? 0), ticks, box);
  const lastX = xOf(Math.max(0, closed - 1), count, box);
  const tail = series.values.map((value, index) => (index >= closed - 1 ? value : null));
  const last = series.values[closed - 1];
  return (
    <g class={`series c${series.color % 8} ${series.color >= 8 ? "again" : ""}`}>
      {hasArea && line && !whole.includes(null) && <path class="area" d={`${line}L${lastX} ${base}L${xOf(0, count, box)} ${base}Z`} />}
      <path class="line" d={line} />
      {closed < count && <path class="line open" d={pathOf(tail, count, ticks, box)} />}
      {closed === 1 && typeof last === "number" && <circle class="dot" cx={lastX} cy={yOf(last, ticks, box)} r="3" />}
    </g>
  );
}

function Bars({ series, place, of, count, closed, ticks, box }: Drawn & { series: Series; place: number; of: number; closed: number }) {
  const slot = box.width / Math.max(1, count);
  const wide = Math.max(1, (slot * 0.72) / of);
  const base = yOf(0, ticks, box);
  return (
    <g class={`series c${series.color % 8}`}>
      {series.values.map((value, index) => {
        if (!value) return null;
        const x = box.left + index * slot + slot * 0.14 + place * wide;
        const y = yOf(value, ticks, box);
        return <rect key={index} class={index >= closed ? "bar open" : "bar"} x={x} y={Math.min(y, base)} width={wide} height={Math.abs(base - y)} />;
      })}
    </g>
  );
}

function Cursor({ series, point, count, ticks, box }: Drawn & { series: Series[]; point: number }) {
  const x = xOf(point, count, box);
  return (
    <g>
      <line class="cursor" x1={x} x2={x} y1={box.top} y2={box.top + box.height} />
      {series.map(({ name, values, color }) => {
        const value = values[point];
        return typeof value === "number" ? <circle key={name} class={`dot c${color % 8}`} cx={x} cy={yOf(value, ticks, box)} r="4" /> : null;
      })}
    </g>
  );
}

function Tip(props: ChartProps & { point: number; x: number; width: number; isLast: boolean }) {
  const { point, x, width, series, before, times, interval, isLast } = props;
  const isRight = x > width / 2;
  return (
    <div class="tip" style={isRight ? { right: `${width - x + 12}px` } : { left: `${x + 12}px` }}>
      <div class="tip-time">
        {bucketLabel(times[point] ?? "", interval)}
        {isLast && <em> · in progress</em>}
      </div>
      {series.map(({ name, values, color }) => (
        <div class="tip-row" key={name}>
          <i class={`key c${color % 8}`} />
          <span>{name}</span>
          <b>{exact(values[point], props)}</b>
        </div>
      ))}
      {before && (
        <div class="tip-row quiet">
          <i class="key before" />
          <span>Before</span>
          <b>{exact(before[point] ?? null, props)}</b>
        </div>
      )}
    </div>
  );
}
