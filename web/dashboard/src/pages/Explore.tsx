// Explore: any metric, by any dimension, over any period; as lines, bars or a table.
import type { Query } from "../api/types";
import { useAnswers } from "../live/use";
import { FilterBar } from "../parts/FilterBar";
import { fileOf, MetricChart } from "../parts/MetricChart";
import { Select, Segments } from "../parts/Select";
import { copy, csvOfSheet, curlOf, pythonOf, save, sheetOf } from "../show/files";
import { dimensionName, metricName } from "../show/names";
import { go, hasDimensions, interval, linkTo, metrics, setMore, toggleRow, view } from "../state/app";
import { queryOf } from "../state/ask";
import { HowItWasMade } from "./explore/HowItWasMade";
import { ResultTable } from "./explore/ResultTable";

const SHOWN = 10;
const ALL = 200;

export default function Explore() {
  const limit = Math.min(ALL, Number.parseInt(view.value.more.limit ?? "", 10) || SHOWN);
  const metric = metrics.value.has(view.value.metric) ? view.value.metric : (metrics.value.keys().next().value ?? "events");
  const info = metrics.value.get(metric);
  const breakdown = view.value.breakdown;
  const isTimed = info?.intervals.includes(interval.value) ?? false;
  const query: Query = queryOf(metric, {
    interval: isTimed ? interval.value : (info?.intervals.includes("day") ? "day" : "none"),
    ...(breakdown.length ? { breakdown, limit } : {}),
  });
  const shown = useAnswers([query]);
  const answer = shown.answers?.[0]?.metric === metric ? shown.answers[0] : undefined;
  const shape = (view.value.more.as ?? "line") as "line" | "bars" | "table";
  return (
    <div class="page">
      <h1 class="hidden">Explore</h1>
      <FilterBar />
      <div class="card controls">
        <Select label="Metric" value={metric} options={metricOptions(breakdown)} choose={(name) => go({ metric: name, hidden: [] })} />
        <Select label="by" value={breakdown[0] ?? ""} options={dimensionOptions(metric, breakdown.slice(1))} choose={(name) => go({ breakdown: name ? [name, ...breakdown.slice(1)] : [], hidden: [] })} />
        {breakdown.length > 0 && (
          <Select label="and" value={breakdown[1] ?? ""} options={dimensionOptions(metric, breakdown.slice(0, 1))} choose={(name) => go({ breakdown: [breakdown[0] as string, ...(name ? [name] : [])], hidden: [] })} />
        )}
        <Segments label="Shown as" value={shape} options={[["line", "Line"], ["bars", "Bars"], ["table", "Table"]]} choose={(as) => setMore({ as: as === "line" ? "" : as })} />
        <div class="row copies">
          <span class="quiet">Copy</span>
          <button type="button" class="button small" onClick={() => void copy(location.origin + linkTo({}), "The link is")}>Link</button>
          <button type="button" class="button small" onClick={() => void copy(curlOf(query), "The curl line is")}>curl</button>
          <button type="button" class="button small" onClick={() => void copy(pythonOf(query), "The Python lines are")}>Python</button>
          <button type="button" class="button small" disabled={!answer} onClick={() => answer && save(`${fileOf(query, answer)}.csv`, csvOfSheet(sheetOf(answer)))}>CSV</button>
        </div>
      </div>
      {info && <p class="quiet note">{info.description}</p>}
      <MetricChart query={query} answer={answer} shown={shown} shape={shape} height={320} hiddenRows={view.value.hidden} />
      {answer && (
        <ResultTable
          answer={answer}
          hidden={view.value.hidden}
          toggle={toggleRow}
          {...(answer.meta.more_rows && limit < ALL ? { showMore: () => setMore({ limit: String(ALL) }) } : {})}
        />
      )}
      {answer && <HowItWasMade answer={answer} query={query} />}
    </div>
  );
}

function metricOptions(breakdown: string[]) {
  const needed = [...Object.keys(view.value.filters), ...breakdown];
  return [...metrics.value.values()].map(({ name }) => ({
    value: name,
    name: metricName(name),
    ...(hasDimensions(name, needed) ? {} : { why: `not by ${needed.map(dimensionName).join(", ")}` }),
  }));
}

/** What cannot be asked is grey, with the reason, before anything is asked. */
function dimensionOptions(metric: string, others: string[]) {
  const all = [...new Set([...metrics.value.values()].flatMap(({ dimensions }) => dimensions))].filter((name) => !/[<*]/.test(name));
  const options = all.map((name) => ({
    value: name,
    name: dimensionName(name),
    ...(others.includes(name) ? { why: "chosen" } : hasDimensions(metric, [name]) ? {} : { why: `not kept for ${metricName(metric)}` }),
  }));
  const chosen = view.value.breakdown.filter((name) => !all.includes(name)).map((name) => ({ value: name, name: dimensionName(name) }));
  return [{ value: "", name: "nothing" }, ...options.filter(({ why }) => !why), ...chosen, ...options.filter(({ why }) => why)];
}
