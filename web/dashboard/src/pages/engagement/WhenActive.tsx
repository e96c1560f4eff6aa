// When people come: the hours of the week, in the zone of the page.
import type { Answer } from "../../api/types";
import { useAnswers } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { CopyTools } from "../../parts/CopyTools";
import { aboutOf, fileOf, isOpenBucket } from "../../parts/MetricChart";
import { Table } from "../../parts/Table";
import { curlOf, type Sheet } from "../../show/files";
import { compact } from "../../show/numbers";
import { type PictureTable, pictureOfTable } from "../../show/picture-rows";
import { span } from "../../show/times";
import { HOURS, meansOfWeek, WEEKDAYS, weekFrom } from "../../show/week";
import { minute, project, view, zone } from "../../state/app";
import { canAsk, isRefused, queryOf, reasonOf } from "../../state/ask";
import { minutesOf } from "../../state/period";

const METRIC = "sessions";
const TITLE = "When people come";
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
  const reason = reasonOf(query);
  const means = answer?.interval === "hour" ? meansOf(answer) : undefined;
  const tools = (
    <CopyTools
      file={fileOf({ ...query, metric: "sessions_by-hour-of-week" }, answer)}
      curl={curlOf(query)}
      picture={answer && means && (() => pictureOfTable(pictureTableOf(means), `${TITLE}: sessions that begin, on average`, aboutOf(answer, query.filters)))}
      sheet={means && (() => sheetOfWeek(means))}
    />
  );
  return (
    <Card label="When" title={TITLE} isOld={isOld} tools={tools}>
      {reason && reason.lost !== "comparison" ? (
        <ProblemNote problem={reason.problem} />
      ) : !isAsked ? (
        <Empty>Sessions are not counted with these filters.</Empty>
      ) : problem && !answer ? (
        <ProblemNote problem={problem} />
      ) : !answer || !means ? (
        <Skeleton rows={7} />
      ) : (
        <>
          <p class="quiet note">Sessions that begin in such an hour, on average: {span(answer.from, answer.to)}, {answer.timezone}.</p>
          <WeekTable means={means} />
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
  const step = stepsOf(means);
  return (
    <Table label="Hours of the week" class="heat week" columns={["Day", ...HOURS.map((hour) => `#${hourName(hour)}`)]}>
      {daysOfWeek().map((day) => (
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

/** A step of colour for each mean, 0 to 8. */
function stepsOf(means: (number | null)[][]): (mean: number | null) => number {
  const most = Math.max(...means.flat().map((mean) => mean ?? 0));
  return (mean) => (mean && most ? Math.ceil((mean / most) * 8) : 0);
}

const daysOfWeek = (): number[] => weekFrom(project.value?.week_start ?? "");

const sheetOfWeek = (means: (number | null)[][]): Sheet => ({
  head: ["day", ...HOURS.map(hourName)],
  rows: daysOfWeek().map((day) => [dayName(day), ...(means[day] ?? [])]),
});

function pictureTableOf(means: (number | null)[][]): PictureTable {
  const step = stepsOf(means);
  const rows = daysOfWeek().map((day) => {
    const own = means[day] ?? [];
    return { cells: [dayName(day), ...own.map(shownMean)], steps: [0, ...own.map(step)] };
  });
  return { columns: ["", ...HOURS.map(hourName)], rows };
}
