// Who comes back: a table with steps of colour and numbers. A day or week in progress is hatched and not in the mean.
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { CopyTools } from "../../parts/CopyTools";
import { Segments } from "../../parts/Select";
import { curlOfPath, fileName, type Sheet } from "../../show/files";
import { ratio } from "../../show/numbers";
import { type PictureTable, pictureOfTable } from "../../show/picture-rows";
import { bucketLabel } from "../../show/times";
import { go, pageView, project, setMore, view } from "../../state/app";
import { dayIn, shiftDay } from "../../state/period";
import { serverNow } from "../../live/board";

interface Cohort {
  start: string;
  size: number;
  retained: number[];
}

const SPANS = { day: { from: "-14d", periods: 8, days: 1 }, week: { from: "-12w", periods: 8, days: 7 } };

export function Retention() {
  const kind = view.value.more.cohort === "week" ? "week" : "day";
  const asPeople = view.value.more.unit === "people";
  const { from, periods, days } = SPANS[kind];
  const path = `/v1/retention?cohort=${kind}&periods=${periods}&from=${from}`;
  const { body, problem, isOld } = useLoad<{ cohorts: Cohort[] }>(path, 30_000);
  const cohorts = (body?.cohorts ?? []).filter(({ size }) => size > 0).reverse();
  const today = dayIn(project.value?.zone ?? "", serverNow());
  const isOpen = (cohort: Cohort, index: number): boolean => shiftDay(cohort.start.slice(0, 10), (index + 1) * days) > today;
  const about = `Of the persons first seen in a ${kind}, those active again so many ${kind}s later · ${project.value?.zone ?? ""}`;
  return (
    <Card
      label="Retention"
      title="Retention"
      isOld={isOld}
      tools={
        <>
          <Segments label="Cohorts by" value={kind} options={[["day", "Days"], ["week", "Weeks"]]} choose={(cohort) => setMore({ cohort: cohort === "day" ? "" : cohort })} />
          <Segments label="Shown as" value={asPeople ? "people" : "share"} options={[["share", "%"], ["people", "People"]]} choose={(unit) => setMore({ unit: unit === "people" ? unit : "" })} />
          <CopyTools
            file={fileName("retention", `by-${kind}`, today)}
            curl={curlOfPath(path)}
            picture={cohorts.length ? () => pictureOfTable(pictureTableOf(cohorts, kind, periods, asPeople), `Retention by ${kind}`, about) : undefined}
            sheet={cohorts.length ? () => sheetOfCohorts(cohorts, kind, periods) : undefined}
          />
        </>
      }
    >
      <p class="quiet note">Of the persons first seen in a {kind}, how many were active again so many {kind}s later. Exact, by days of the project's zone.</p>
      {problem && !body ? (
        <ProblemNote problem={problem} />
      ) : !body ? (
        <Skeleton rows={6} />
      ) : !cohorts.length ? (
        <Empty>No person was first seen in this time.</Empty>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Retention">
          <table class="heat">
            <thead>
              <tr>
                <th scope="col">First seen</th>
                <th scope="col" class="number">Persons</th>
                {Array.from({ length: periods }, (_, index) => <th scope="col" class="number" key={index}>{columnName(kind, index)}</th>)}
              </tr>
            </thead>
            <tbody>
              {cohorts.map((cohort) => (
                <tr key={cohort.start}>
                  <th scope="row">
                    <button type="button" class="cell-link" title="These days in Explore" onClick={() => go({ ...pageView("explore"), metric: "visitors", from: cohort.start.slice(0, 10), to: shiftDay(cohort.start.slice(0, 10), days), interval: "" })}>
                      {bucketLabel(cohort.start, kind)}
                    </button>
                  </th>
                  <td class="number">{cohort.size.toLocaleString("en")}</td>
                  {Array.from({ length: periods }, (_, index) => <HeatCell key={index} cohort={cohort} index={index} isOpen={isOpen(cohort, index)} asPeople={asPeople} />)}
                </tr>
              ))}
              <MeanRow cohorts={cohorts} periods={periods} isOpen={isOpen} />
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

const columnName = (kind: string, index: number): string => (index ? `+${index}` : kind === "day" ? "Day 0" : "Week 0");
const stepOf = (count: number, size: number): number => (size ? Math.min(8, Math.ceil((count / size) * 8)) : 0);
const shownCount = (count: number, size: number, asPeople: boolean): string => (asPeople ? count.toLocaleString("en") : ratio(size ? count / size : 0));

const sheetOfCohorts = (cohorts: Cohort[], kind: string, periods: number): Sheet => ({
  head: ["cohort", "size", ...Array.from({ length: periods }, (_, index) => `${kind}_${index}`)],
  rows: cohorts.map(({ start, size, retained }) => [start, size, ...Array.from({ length: periods }, (_, index) => retained[index])]),
});

function pictureTableOf(cohorts: Cohort[], kind: string, periods: number, asPeople: boolean): PictureTable {
  return {
    columns: ["First seen", "Persons", ...Array.from({ length: periods }, (_, index) => columnName(kind, index))],
    rows: cohorts.map(({ start, size, retained }) => ({
      cells: [bucketLabel(start, kind), size.toLocaleString("en"), ...retained.map((count) => shownCount(count, size, asPeople))],
      steps: [0, 0, ...retained.map((count) => stepOf(count, size))],
    })),
  };
}

function HeatCell({ cohort, index, isOpen, asPeople }: { cohort: Cohort; index: number; isOpen: boolean; asPeople: boolean }) {
  const count = cohort.retained[index];
  if (count === undefined) return <td />;
  return (
    <td class={`number h${stepOf(count, cohort.size)} ${isOpen ? "in-progress" : ""}`} title={`${count} of ${cohort.size}${isOpen ? ", still in progress" : ""}`}>
      {shownCount(count, cohort.size, asPeople)}
    </td>
  );
}

function MeanRow({ cohorts, periods, isOpen }: { cohorts: Cohort[]; periods: number; isOpen: (cohort: Cohort, index: number) => boolean }) {
  return (
    <tr class="mean">
      <th scope="row">All, weighted</th>
      <td />
      {Array.from({ length: periods }, (_, index) => {
        const whole = cohorts.filter((cohort) => cohort.retained[index] !== undefined && !isOpen(cohort, index));
        const size = whole.reduce((sum, cohort) => sum + cohort.size, 0);
        return <td class="number" key={index}>{size ? ratio(whole.reduce((sum, cohort) => sum + (cohort.retained[index] ?? 0), 0) / size) : "–"}</td>;
      })}
    </tr>
  );
}
