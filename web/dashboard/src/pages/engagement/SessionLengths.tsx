// How long sessions are: a histogram of the chosen period.
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { CopyTools, useTable } from "../../parts/CopyTools";
import { aboutOf } from "../../parts/MetricChart";
import { Table } from "../../parts/Table";
import { curlOfPath, fileName, type Sheet } from "../../show/files";
import { type LengthBucket, type LengthRange, rangesOf } from "../../show/lengths";
import { ratio } from "../../show/numbers";
import { pictureOfBars } from "../../show/picture-rows";
import { period, view } from "../../state/app";

const ASK_MS = 30_000;

/** A parameter that is named once is split at commas; named several times, each value is taken as it is. */
function pathOf(): string {
  const parameters = new URLSearchParams(period.value);
  for (const [name, values] of Object.entries(view.value.filters)) {
    for (const value of values) parameters.append(name, values.length > 1 ? value : value.replace(/,/g, "\\,"));
  }
  return `/v1/sessions/lengths?${parameters}`;
}

interface Lengths {
  from: string;
  to: string;
  timezone: string;
  sessions: number;
  lengths: LengthBucket[];
}

const TITLE = "How long sessions are";

export function SessionLengths() {
  const path = pathOf();
  const { body, problem, isOld } = useLoad<Lengths>(path, ASK_MS);
  const asTable = useTable();
  const ranges = rangesOf(body?.lengths ?? []);
  const tools = (
    <CopyTools
      file={fileName("session-lengths", body?.from.slice(0, 16), body?.to.slice(0, 16))}
      curl={curlOfPath(path)}
      asTable={asTable}
      picture={body ? () => pictureOfBars(barsOf(ranges, body.sessions), TITLE, aboutOf(body, view.value.filters)) : undefined}
      sheet={body ? () => sheetOfLengths(body) : undefined}
    />
  );
  return (
    <Card label="Session lengths" title={TITLE} isOld={isOld} tools={tools}>
      {problem && !body ? (
        <ProblemNote problem={problem} />
      ) : !body ? (
        <Skeleton rows={8} />
      ) : !body.sessions ? (
        <Empty>No session began in this period.</Empty>
      ) : (
        <>
          {asTable.value ? <LengthTable ranges={ranges} sessions={body.sessions} /> : <LengthBars ranges={ranges} sessions={body.sessions} />}
          <p class="quiet note">From the first to the last event. A session of one event has 0 s. Borders are within 5 %.</p>
        </>
      )}
    </Card>
  );
}

interface RangesProps {
  ranges: LengthRange[];
  sessions: number;
}

const LengthBars = ({ ranges, sessions }: RangesProps) => (
  <ol class="bars">
    {barsOf(ranges, sessions).map(({ name, share, part, count }) => (
      <li key={name} class="bar-row flat">
        <span class="bar-fill" style={{ width: `${count ? Math.max(1, share * 100) : 0}%` }} />
        <span class="bar-name">{name}</span>
        <span class="quiet">{part}</span>
        <span class="value" data-value={count}>{count.toLocaleString("en")}</span>
      </li>
    ))}
  </ol>
);

const LengthTable = ({ ranges, sessions }: RangesProps) => (
  <Table label={TITLE} columns={["Length", "#Sessions", "#Share"]}>
    {ranges.map(({ name, sessions: count }) => (
      <tr key={name}>
        <th scope="row">{name}</th>
        <td class="number" data-value={count}>{count.toLocaleString("en")}</td>
        <td class="number quiet">{ratio(count / sessions)}</td>
      </tr>
    ))}
  </Table>
);

function barsOf(ranges: LengthRange[], sessions: number) {
  const most = Math.max(...ranges.map(({ sessions: count }) => count), 1);
  return ranges.map(({ name, sessions: count }) => {
    const part = sessions ? ratio(count / sessions) : "–";
    return { name, count, part, value: `${count.toLocaleString("en")} · ${part}`, share: count / most };
  });
}

const sheetOfLengths = ({ lengths }: Lengths): Sheet => ({
  head: ["from_seconds", "to_seconds", "sessions"],
  rows: lengths.map(({ from_seconds, to_seconds, sessions }) => [from_seconds, to_seconds, sessions]),
});
