// A ranked list with bars. A click filters by the row; while the pointer or the focus is in it, the order is held.
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Answer, Result } from "../api/types";
import { dimensionName, metricName, valueName } from "../show/names";
import { toggleFilter, view } from "../state/app";
import { Table } from "./Table";
import { Delta, Value } from "./Value";

interface BarListProps {
  answer: Answer;
  dimension: string;
  asTable?: boolean;
}

export function BarList({ answer, dimension, asTable = false }: BarListProps) {
  const isHeld = useSignal(false);
  const order = useRef<string[]>([]);
  const rows = isHeld.value ? heldOrder(answer.results, dimension, order.current) : answer.results;
  order.current = rows.map((row) => row.dimensions[dimension] ?? "");
  const most = Math.max(...answer.results.map(({ total }) => total ?? 0), 0) || 1;
  const sum = answer.results.reduce((total, row) => total + (row.total ?? 0), 0);
  const chosen = view.value.filters[dimension] ?? [];
  const hold = (): void => {
    isHeld.value = true;
  };
  const free = (event: Event): void => {
    const next = (event as FocusEvent).relatedTarget as Node | null;
    if (!(event.currentTarget as HTMLElement).contains(next)) isHeld.value = false;
  };
  if (asTable) return <ListTable answer={answer} dimension={dimension} />;
  return (
    <ol class="bars" onPointerEnter={hold} onPointerLeave={free} onFocusIn={hold} onFocusOut={free}>
      {rows.map((row) => {
        const value = row.dimensions[dimension] ?? "";
        const share = answer.unit === "count" && sum ? ` · ${Math.round(((row.total ?? 0) / sum) * 100)} % of these` : "";
        return (
          <li key={value}>
            <button
              type="button"
              class="bar-row"
              aria-pressed={chosen.includes(value)}
              title={`${value}${share}: filter by it`}
              onClick={() => toggleFilter(dimension, value)}
            >
              <span class="bar-fill" style={{ width: `${Math.max(1, ((row.total ?? 0) / most) * 100)}%` }} />
              <span class="bar-name" dir="auto">
                {valueName(dimension, value)}
              </span>
              {row.previous ? <Delta metric={answer.metric} now={row.total} before={row.previous} unit={answer.unit} /> : null}
              <Value value={row.total} unit={answer.unit} currency={answer.currency} />
            </button>
          </li>
        );
      })}
    </ol>
  );
}

function ListTable({ answer, dimension }: { answer: Answer; dimension: string }) {
  const hasBefore = answer.results.some(({ previous }) => previous !== null);
  const label = `${metricName(answer.metric)} by ${dimensionName(dimension).toLowerCase()}`;
  return (
    <Table label={label} class="list-table" columns={[dimensionName(dimension), "#Total", ...(hasBefore ? ["#Before"] : [])]}>
      {answer.results.map((row) => (
        <tr key={row.dimensions[dimension]}>
          <th scope="row" dir="auto">{valueName(dimension, row.dimensions[dimension] ?? "")}</th>
          <td class="number"><Value value={row.total} unit={answer.unit} currency={answer.currency} isExact /></td>
          {hasBefore && <td class="number quiet"><Value value={row.previous} unit={answer.unit} currency={answer.currency} isExact /></td>}
        </tr>
      ))}
    </Table>
  );
}

function heldOrder(results: Result[], dimension: string, order: string[]): Result[] {
  const place = new Map(order.map((value, index) => [value, index]));
  const at = (row: Result): number => place.get(row.dimensions[dimension] ?? "") ?? order.length;
  return [...results].sort((a, b) => at(a) - at(b));
}
