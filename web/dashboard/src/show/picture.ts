// The chart as a PNG, drawn by itself: title, period, zone and filters are in the picture.
import { type Box, labelled, pathOf, tickKind, ticksFor, xOf, yOf } from "../parts/chart-scale";
import type { ChartProps } from "../parts/TimeChart";
import { onAxis } from "./numbers";
import { axisLabel } from "./times";

const WIDTH = 1200;
const HEIGHT = 560;

function colorsOf(): { text: string; quiet: string; grid: string; back: string; series: string[]; before: string } {
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

export function pictureOf(props: ChartProps, title: string, subtitle: string): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH * 2;
  canvas.height = HEIGHT * 2;
  const context = canvas.getContext("2d");
  if (!context) return Promise.resolve(null);
  context.scale(2, 2);
  draw(context, props, title, subtitle);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function draw(context: CanvasRenderingContext2D, props: ChartProps, title: string, subtitle: string): void {
  const colors = colorsOf();
  const { times, series, before, interval, isOpen } = props;
  const font = (size: number, weight = 400): string => `${weight} ${size}px system-ui, sans-serif`;
  const text = (value: string, x: number, y: number, color: string, align: CanvasTextAlign, style: string): void => {
    Object.assign(context, { fillStyle: color, textAlign: align, font: style });
    context.fillText(value, x, y);
  };
  context.fillStyle = colors.back;
  context.fillRect(0, 0, WIDTH, HEIGHT);
  text(title, 32, 48, colors.text, "left", font(24, 600));
  text(subtitle, 32, 74, colors.quiet, "left", font(14));
  const values = [...series.flatMap((one) => one.values), ...(before ?? [])].filter((value) => value !== null);
  const ticks = ticksFor(Math.min(0, ...values), Math.max(0, ...values), 5, tickKind(props.unit));
  const box: Box = { left: 92, top: 100, width: WIDTH - 124, height: HEIGHT - 180 };
  context.lineWidth = 1;
  for (const tick of ticks) {
    const y = yOf(tick, ticks, box);
    context.strokeStyle = colors.grid;
    context.stroke(new Path2D(`M${box.left} ${y}H${box.left + box.width}`));
    text(onAxis(tick, props), box.left - 12, y + 5, colors.quiet, "right", font(13));
  }
  for (const index of labelled(times.length, box.width, 80)) {
    text(axisLabel(times[index] ?? "", interval), xOf(index, times.length, box), box.top + box.height + 26, colors.quiet, "center", font(13));
  }
  context.lineWidth = 2;
  const stroke = (list: (number | null)[], color: string, dash: number[]): void => {
    context.strokeStyle = color;
    context.setLineDash(dash);
    context.stroke(new Path2D(pathOf(list, times.length, ticks, box)));
    context.setLineDash([]);
  };
  if (before) stroke(before, colors.before, [6, 5]);
  const closed = isOpen ? times.length - 1 : times.length;
  let x = box.left;
  for (const one of series) {
    const color = colors.series[one.color % 8] ?? colors.text;
    stroke(one.values.slice(0, closed), color, []);
    if (isOpen) stroke(one.values.map((value, index) => (index >= closed - 1 ? value : null)), color, [2, 4]);
    context.fillStyle = color;
    context.fillRect(x, HEIGHT - 30, 12, 12);
    text(one.name, x + 18, HEIGHT - 19, colors.text, "left", font(14));
    x += 18 + context.measureText(one.name).width + 24;
  }
}
