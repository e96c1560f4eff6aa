// A card as a PNG, drawn by itself: title, period, zone and filters are in the picture. Here the sheet of paper and the
// chart; bars and tables are in picture-rows.ts.
import { type Box, labelled, pathOf, tickKind, ticksFor, xOf, yOf } from "../parts/chart-scale";
import type { ChartProps } from "../parts/TimeChart";
import { onAxis } from "./numbers";
import { axisLabel } from "./times";

export const WIDTH = 1200;
export const MARGIN = 32;
/** Below title and subtitle. */
export const TOP = 100;
const HEIGHT = 560;
const LEGEND_LINE = 24;
const SCALE = 2;

type Colors = ReturnType<typeof colorsOf>;

export interface Pen {
  context: CanvasRenderingContext2D;
  colors: Colors;
  /** Writes one line, cut with an ellipsis where it is wider than `width`. */
  write: (value: string, x: number, y: number, style: TextStyle) => void;
  measure: (value: string, style: TextStyle) => number;
}

export interface TextStyle {
  color: string;
  size: number;
  align?: CanvasTextAlign;
  weight?: number;
  width?: number;
}

function colorsOf() {
  const probe = document.createElement("span");
  document.body.append(probe);
  const read = (name: string): string => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = {
    text: read("--text"),
    quiet: read("--quiet"),
    grid: read("--line"),
    back: read("--card"),
    before: read("--before"),
    series: Array.from({ length: 8 }, (_, index) => read(`--c${index}`)),
  };
  probe.remove();
  return colors;
}

const fontOf = ({ size, weight = 400 }: TextStyle): string => `${weight} ${size}px system-ui, sans-serif`;

function penOf(context: CanvasRenderingContext2D): Pen {
  const write = (value: string, x: number, y: number, style: TextStyle): void => {
    Object.assign(context, { fillStyle: style.color, textAlign: style.align ?? "left", font: fontOf(style) });
    context.fillText(fitted(context, value, style.width ?? Number.POSITIVE_INFINITY), x, y);
  };
  const measure = (value: string, style: TextStyle): number => {
    context.font = fontOf(style);
    return context.measureText(value).width;
  };
  return { context, colors: colorsOf(), write, measure };
}

function fitted(context: CanvasRenderingContext2D, value: string, width: number): string {
  if (context.measureText(value).width <= width) return value;
  let text = value;
  while (text && context.measureText(`${text}…`).width > width) text = text.slice(0, -1);
  return `${text}…`;
}

/** A picture of this height with title and subtitle; `draw` makes the rest. Null where the browser cannot. */
export function paint(height: number, title: string, about: string, draw: (pen: Pen) => void): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * SCALE;
  canvas.height = height * SCALE;
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  context.scale(SCALE, SCALE);
  const pen = penOf(context);
  context.fillStyle = pen.colors.back;
  context.fillRect(0, 0, WIDTH, height);
  pen.write(title, MARGIN, 48, { color: pen.colors.text, size: 24, weight: 600, width: WIDTH - 2 * MARGIN });
  pen.write(about, MARGIN, 74, { color: pen.colors.quiet, size: 14, width: WIDTH - 2 * MARGIN });
  draw(pen);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

export function pictureOf(chart: ChartProps, title: string, about: string): Promise<Blob | null> {
  return paint(HEIGHT + legendLines(chart) * LEGEND_LINE, title, about, (pen) => drawChart(pen, chart));
}

const LEGEND_COLUMNS = 4;
const legendOf = ({ series, before }: ChartProps): number => series.length + (before ? 1 : 0);
const legendLines = (chart: ChartProps): number => Math.max(0, Math.ceil(legendOf(chart) / LEGEND_COLUMNS) - 1);

function drawChart(pen: Pen, chart: ChartProps): void {
  const { context, colors } = pen;
  const { times, series, before, isOpen } = chart;
  const values = [...series.flatMap((one) => one.values), ...(before ?? [])].filter((value) => value !== null);
  const ticks = ticksFor(Math.min(0, ...values), Math.max(0, ...values), 5, tickKind(chart.unit));
  const box: Box = { left: 92, top: TOP, width: WIDTH - 92 - MARGIN, height: HEIGHT - 180 };
  drawAxes(pen, chart, ticks, box);
  context.lineWidth = 2;
  const stroke = (list: (number | null)[], color: string, dash: number[]): void => {
    context.strokeStyle = color;
    context.setLineDash(dash);
    context.stroke(new Path2D(pathOf(list, times.length, ticks, box)));
    context.setLineDash([]);
  };
  if (before) stroke(before, colors.before, [6, 5]);
  const closed = isOpen ? times.length - 1 : times.length;
  for (const { values: own, color } of series) {
    const shade = colors.series[color % 8] ?? colors.text;
    stroke(own.slice(0, closed), shade, []);
    if (isOpen) stroke(own.map((value, index) => (index >= closed - 1 ? value : null)), shade, [2, 4]);
  }
  drawLegend(pen, chart);
}

function drawAxes({ context, colors, write }: Pen, chart: ChartProps, ticks: number[], box: Box): void {
  const style: TextStyle = { color: colors.quiet, size: 13 };
  context.lineWidth = 1;
  for (const tick of ticks) {
    const y = yOf(tick, ticks, box);
    context.strokeStyle = colors.grid;
    context.stroke(new Path2D(`M${box.left} ${y}H${box.left + box.width}`));
    write(onAxis(tick, chart), box.left - 12, y + 5, { ...style, align: "right" });
  }
  for (const index of labelled(chart.times.length, box.width, 80)) {
    const x = xOf(index, chart.times.length, box);
    write(axisLabel(chart.times[index] ?? "", chart.interval), x, box.top + box.height + 26, { ...style, align: "center" });
  }
}

function drawLegend({ context, colors, write }: Pen, { series, before }: ChartProps): void {
  const entries = series.map(({ name, color }) => ({ name, color: colors.series[color % 8] ?? colors.text }));
  if (before) entries.push({ name: "Before", color: colors.before });
  const width = (WIDTH - 92 - MARGIN) / LEGEND_COLUMNS;
  for (const [index, { name, color }] of entries.entries()) {
    const x = 92 + (index % LEGEND_COLUMNS) * width;
    const y = HEIGHT - 30 + Math.floor(index / LEGEND_COLUMNS) * LEGEND_LINE;
    context.fillStyle = color;
    context.fillRect(x, y, 12, 12);
    write(name, x + 18, y + 11, { color: colors.text, size: 14, width: width - 30 });
  }
}
