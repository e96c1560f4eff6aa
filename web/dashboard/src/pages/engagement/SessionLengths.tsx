// How long sessions are: a histogram of the chosen period.
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { ToolButton } from "../../parts/MetricChart";
import { csvOf, save } from "../../show/files";
import { type LengthBucket, rangesOf } from "../../show/lengths";
import { ratio } from "../../show/numbers";
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

export function SessionLengths() {
  const { body, problem, isOld } = useLoad<{ sessions: number; lengths: LengthBucket[] }>(pathOf(), ASK_MS);
  const ranges = rangesOf(body?.lengths ?? []);
  const most = Math.max(...ranges.map(({ sessions }) => sessions), 1);
  const saveAll = (): void => save("session-lengths.csv", csvOf([["from_seconds", "to_seconds", "sessions"], ...(body?.lengths ?? []).map(({ from_seconds, to_seconds, sessions }) => [from_seconds, to_seconds, sessions])]));
  return (
    <Card label="Session lengths" title="How long sessions are" isOld={isOld} tools={<ToolButton icon="download" title="Save as CSV" act={saveAll} />}>
      {problem && !body ? (
        <ProblemNote problem={problem} />
      ) : !body ? (
        <Skeleton rows={8} />
      ) : !body.sessions ? (
        <Empty>No session began in this period.</Empty>
      ) : (
        <>
          <ol class="bars">
            {ranges.map(({ name, sessions }) => (
              <li key={name} class="bar-row flat">
                <span class="bar-fill" style={{ width: `${sessions ? Math.max(1, (sessions / most) * 100) : 0}%` }} />
                <span class="bar-name">{name}</span>
                <span class="quiet">{ratio(sessions / body.sessions)}</span>
                <span class="value" data-value={sessions}>{sessions.toLocaleString("en")}</span>
              </li>
            ))}
          </ol>
          <p class="quiet note">From the first to the last event. A session of one event has 0 s. Borders are within 5 %.</p>
        </>
      )}
    </Card>
  );
}
