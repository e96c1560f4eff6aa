// When people come: the hours of the week, in the zone of the page.
import type { Answer } from "../../api/types";
import { useAnswers } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { isOpenBucket, ToolButton } from "../../parts/MetricChart";
import { Table } from "../../parts/Table";
import { csvOf, save } from "../../show/files";
import { compact } from "../../show/numbers";
import { span } from "../../show/times";
import { HOURS, meansOfWeek, WEEKDAYS, weekFrom } from "../../show/week";
import { minute, project, view, zone } from "../../state/app";
import { canAsk, isRefused, queryOf } from "../../state/ask";
import { minutesOf } from "../../state/period";

const METRIC = "sessions";
const PERIOD = { from: "-28d", to: "now" };
/** Hours are kept for 60 days; fewer than seven days have no whole week. */
const MINUTES = { least: 10_080, most: 86_000 };

export function WhenActive() {
  const minutes = minutesOf(view.value.from, view.value.to, zone.value, minute.value);
  const isWeeks = minutes >= MINUTES.least && minutes <= MINUTES.most;
  const query = queryOf(METRIC, { ...(isWeeks ? {} : PERIOD), interval: "hour", compare: "" });
  const isAsked = canAsk(METRIC) && !isRefused(query);
  const { answers, problem, isOld } = useAnswers(isAsked ? [query] : []);
  const answer = answers?.[0];
  return (
    <Card label="When" title="When people come" isOld={isOld} tools={answer && <ToolButton icon="download" title="Save as CSV" act={() => saveWeek(answer)} />}>
      {!isAsked ? (
        <Empty>Sessions are not counted with these filters.</Empty>
      ) : problem && !answer ? (
        <ProblemNote problem={problem} />
      ) : !answer ? (
        <Skeleton rows={7} />
      ) : (
        <>
          <p class="quiet note">Sessions that begin in such an hour, on average: {span(answer.from, answer.to)}, {answer.timezone}.</p>
          <WeekTable means={meansOf(answer)} />
        </>
      )}
    </Card>
  );
}

/** Without the hour in progress, which would lower its mean. */
function meansOf(answer: Answer): (number | null)[][] {
  const points = answer.results[0]?.points ?? [];
  return meansOfWeek(isOpenBucket(answer) ? points.slice(0, -1) : points);
}

const shownMean = (mean: number | null): string => (mean === null ? "–" : mean < 10 ? String(Number(mean.toFixed(1))) : compact(mean));
const dayName = (day: number): string => WEEKDAYS[day]?.replace(/^./, (letter) => letter.toUpperCase()) ?? "";
const hourName = (hour: number): string => String(hour).padStart(2, "0");

function WeekTable({ means }: { means: (number | null)[][] }) {
  const most = Math.max(...means.flat().map((mean) => mean ?? 0));
  const step = (mean: number | null): number => (mean && most ? Math.ceil((mean / most) * 8) : 0);
  return (
    <Table label="Hours of the week" class="heat week" columns={["Day", ...HOURS.map((hour) => `#${hourName(hour)}`)]}>
      {weekFrom(project.value?.week_start ?? "").map((day) => (
        <tr key={day}>
          <th scope="row">{dayName(day).slice(0, 3)}</th>
          {HOURS.map((hour) => {
            const mean = means[day]?.[hour] ?? null;
            return (
              <td key={hour} class={`number h${step(mean)}`} title={`${dayName(day)} ${hourName(hour)}:00: ${shownMean(mean)} sessions on average`} data-value={mean ?? ""}>
                {shownMean(mean)}
              </td>
            );
          })}
        </tr>
      ))}
    </Table>
  );
}

function saveWeek(answer: Answer): void {
  const means = meansOf(answer);
  const rows = weekFrom(project.value?.week_start ?? "").map((day) => [dayName(day), ...(means[day] ?? [])]);
  save("sessions_by-hour-of-week.csv", csvOf([["day", ...HOURS.map(hourName)], ...rows]));
}
