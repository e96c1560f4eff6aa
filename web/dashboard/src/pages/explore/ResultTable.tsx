// The rows of an answer: exact numbers, the change, the share, a line; a row can be taken out of the chart.
import type { Answer } from "../../api/types";
import { Card } from "../../parts/Card";
import { isOpenBucket } from "../../parts/MetricChart";
import { Spark } from "../../parts/Spark";
import { Delta, Value } from "../../parts/Value";
import { ratio } from "../../show/numbers";
import { dimensionName, rowName, rowValues, valueName } from "../../show/names";
import { toggleFilter } from "../../state/app";

interface ResultTableProps {
  answer: Answer;
  hidden: string[];
  toggle: (name: string) => void;
  showMore?: () => void;
}

export function ResultTable({ answer, hidden, toggle, showMore }: ResultTableProps) {
  const dimensions = Object.keys(answer.results[0]?.dimensions ?? {});
  const sum = answer.results.reduce((total, row) => total + (row.total ?? 0), 0);
  const hasShare = dimensions.length > 0 && (answer.unit === "count" || answer.unit === "money");
  const hasBefore = answer.results.some(({ previous }) => previous !== null);
  const visible = answer.results.filter((row) => !hidden.includes(rowValues(row.dimensions)));
  const colorOf = (row: Answer["results"][number]): number => visible.indexOf(row);
  return (
    <Card label="Totals">
      <div class="table-box" tabIndex={0} role="region" aria-label="Totals">
        <table>
          <caption class="hidden">Totals of the period</caption>
          <thead>
            <tr>
              {dimensions.length > 0 && <th scope="col"><span class="hidden">In the chart</span></th>}
              {dimensions.length ? dimensions.map((name) => <th scope="col" key={name}>{dimensionName(name)}</th>) : <th scope="col">All</th>}
              <th scope="col" class="number" aria-sort={dimensions.length ? "descending" : undefined}>Total</th>
              {hasBefore && <th scope="col" class="number">Before</th>}
              {hasBefore && <th scope="col" class="number">Change</th>}
              {hasShare && <th scope="col" class="number">Share of these</th>}
              {answer.interval !== "none" && <th scope="col" class="spark-cell"><span class="hidden">Over time</span></th>}
            </tr>
          </thead>
          <tbody>
            {answer.results.map((row) => {
              const name = rowName(row.dimensions);
              const color = colorOf(row);
              return (
                <tr key={name}>
                  {dimensions.length > 0 && (
                    <td class="check">
                      <label class={color >= 0 && color < 10 ? `c${color % 8}` : ""}>
                        <input type="checkbox" checked={!hidden.includes(rowValues(row.dimensions))} onChange={() => toggle(rowValues(row.dimensions))} aria-label={`${name} in the chart`} />
                        {color >= 0 && color < 10 && <i class="key" />}
                      </label>
                    </td>
                  )}
                  {dimensions.length ? (
                    dimensions.map((dimension) => (
                      <td key={dimension}>
                        <button type="button" class="cell-link" dir="auto" title="Filter by it" onClick={() => toggleFilter(dimension, row.dimensions[dimension] ?? "")}>
                          {valueName(dimension, row.dimensions[dimension] ?? "")}
                        </button>
                      </td>
                    ))
                  ) : (
                    <td>All</td>
                  )}
                  <td class="number strong">
                    <Value value={row.total} unit={answer.unit} currency={answer.currency} isExact error={answer.meta.error} />
                  </td>
                  {hasBefore && <td class="number quiet"><Value value={row.previous} unit={answer.unit} currency={answer.currency} isExact /></td>}
                  {hasBefore && <td class="number"><Delta metric={answer.metric} now={row.total} before={row.previous} unit={answer.unit} /></td>}
                  {hasShare && <td class="number quiet">{sum ? ratio((row.total ?? 0) / sum) : "–"}</td>}
                  {answer.interval !== "none" && <td class="spark-cell"><Spark points={row.points} isOpen={isOpenBucket(answer)} /></td>}
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {answer.results.length === 0 && <p class="quiet note">Nothing in this period.</p>}
      {showMore && <button type="button" class="button small" onClick={showMore}>Show more rows</button>}
    </Card>
  );
}
