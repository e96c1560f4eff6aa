// The chart as a table: what the picture shows, for eyes that want numbers and for screen readers.
import { exact } from "../show/numbers";
import { bucketLabel } from "../show/times";
import type { ChartProps } from "./TimeChart";

export function ChartTable(props: ChartProps) {
  const { times, interval, series, before, isOpen, summary } = props;
  return (
    <div class="table-box tall" tabIndex={0} role="region" aria-label={summary}>
      <table>
        <caption class="hidden">{summary}</caption>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {series.map(({ name }) => (
              <th scope="col" class="number" key={name}>
                {name}
              </th>
            ))}
            {before && (
              <th scope="col" class="number">
                Before
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {times.map((time, index) => (
            <tr key={time}>
              <th scope="row">
                {bucketLabel(time, interval)}
                {isOpen && index === times.length - 1 && <span class="quiet"> (in progress)</span>}
              </th>
              {series.map(({ name, values }) => (
                <td class="number" key={name}>
                  {exact(values[index], props)}
                </td>
              ))}
              {before && <td class="number quiet">{exact(before[index] ?? null, props)}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
