// Lists with bars and tables as a PNG.
import { MARGIN, paint, type Pen, TOP, WIDTH } from "./picture";

export interface PictureBar {
  name: string;
  value: string;
  /** Of the longest bar, 0 to 1. */
  share: number;
}

export interface PictureTable {
  columns: string[];
  rows: PictureRow[];
}

export interface PictureRow {
  cells: string[];
  /** A step of colour for a cell, 0 to 8; what is left out has none. */
  steps?: number[];
}

const ROW = 34;
const NAME_WIDTH = 300;
const CELL_PAD = 10;

const heightOf = (rows: number): number => TOP + rows * ROW + MARGIN;

export function pictureOfBars(bars: PictureBar[], title: string, about: string): Promise<Blob | null> {
  return paint(heightOf(bars.length), title, about, (pen) => {
    for (const [index, bar] of bars.entries()) drawBar(pen, bar, TOP + index * ROW);
  });
}

function drawBar({ context, colors, write }: Pen, { name, value, share }: PictureBar, y: number): void {
  const width = WIDTH - 2 * MARGIN;
  context.fillStyle = shaded(colors.series[0] ?? colors.text, 18);
  context.fillRect(MARGIN, y, Math.max(2, width * share), ROW - 6);
  write(name, MARGIN + CELL_PAD, y + 19, { color: colors.text, size: 15, width: width - 200 });
  write(value, WIDTH - MARGIN - CELL_PAD, y + 19, { color: colors.text, size: 15, weight: 600, align: "right" });
}

export function pictureOfTable({ columns, rows }: PictureTable, title: string, about: string): Promise<Blob | null> {
  return paint(heightOf(rows.length + 1), title, about, (pen) => {
    const style = { color: pen.colors.text, size: 14, weight: 600 };
    const widest = Math.max(...[columns, ...rows.map(({ cells }) => cells)].map(([name = ""]) => pen.measure(name, style)));
    const first = Math.min(NAME_WIDTH, widest + 2 * CELL_PAD);
    drawCells(pen, { cells: columns }, { y: TOP, first, isHead: true });
    for (const [index, row] of rows.entries()) drawCells(pen, row, { y: TOP + (index + 1) * ROW, first, isHead: false });
  });
}

interface Place {
  y: number;
  /** The width of the first column. */
  first: number;
  isHead: boolean;
}

/** The first column has names; the others have numbers, which stand at the right. */
function drawCells({ context, colors, write }: Pen, { cells, steps = [] }: PictureRow, { y, first, isHead }: Place): void {
  const width = (WIDTH - 2 * MARGIN - first) / Math.max(1, cells.length - 1);
  const isNarrow = width < 60;
  const style = { color: isHead ? colors.quiet : colors.text, size: isNarrow ? 12 : 14 };
  for (const [index, text] of cells.entries()) {
    const left = index ? MARGIN + first + (index - 1) * width : MARGIN;
    context.fillStyle = shaded(colors.series[0] ?? colors.text, (steps[index] ?? 0) * 6);
    if (steps[index]) context.fillRect(left + 1, y - 2, width - 2, ROW - 3);
    const pad = isNarrow ? 4 : CELL_PAD;
    if (index) write(text, left + width - pad, y + 19, { ...style, align: "right", width: width - 2 * pad });
    else write(text, left, y + 19, { ...style, size: 14, weight: isHead ? 400 : 600, width: first - CELL_PAD });
  }
}

/** A colour, which the browser gives as `rgb(…)`, at so many per cent. */
const shaded = (color: string, percent: number): string => color.replace("rgb(", "rgba(").replace(")", `, ${percent / 100})`);
