// The ranked lists. A list shows a dimension of the first metric that has it; what no metric has is not shown.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Query } from "../../api/types";
import { useAnswers } from "../../live/use";
import { BarList } from "../../parts/BarList";
import { useTable } from "../../parts/CopyTools";
import { ListTools } from "../../parts/ListTools";
import { Card, Empty, OF_PERIOD, ProblemNote, Skeleton, Words } from "../../parts/Card";
import { Link } from "../../parts/Shell";
import { dimensionName, metricName } from "../../show/names";
import { span } from "../../show/times";
import { go, isWall, metrics, minute, pageView, view, zone } from "../../state/app";
import { minutesOf } from "../../state/period";
import { canAsk, isRefused, queryOf, reasonOf } from "../../state/ask";

const ROWS = 8;
const FAR_LISTS_MS = 1_000;
const LISTS: { title: string; dimensions: string[] }[] = [
  { title: "Pages", dimensions: ["page", "event", "source"] },
  { title: "Sources", dimensions: ["channel", "referrer", "utm_campaign"] },
  { title: "Countries", dimensions: ["country", "region", "language"] },
  { title: "Devices", dimensions: ["device", "browser", "os"] },
];
const FIRST: Record<string, string[]> = { page: ["page_views"], event: ["events"] };
const METRICS = ["visitors", "sessions", "page_views", "events"];

/** What may be asked for a list, best first: persons if they are counted by it, else what is. */
function candidates(dimension: string): Query[] {
  const wanted = [...(FIRST[dimension] ?? []), ...METRICS];
  return wanted.filter((metric) => canAsk(metric, [dimension])).map((metric) => queryOf(metric, { breakdown: [dimension], limit: ROWS }));
}

const isCounted = (dimension: string): boolean => [...metrics.value.values()].some((metric) => metric.dimensions.includes(dimension));

export function Lists() {
  return (
    <div class="lists">
      {LISTS.map(({ title, dimensions }) => {
        const own = dimensions.filter(isCounted);
        return own.length ? <List key={title} title={title} dimensions={own} /> : null;
      })}
    </div>
  );
}

/** A list that is far below is asked for when it comes near, or once what is seen first had its time. */
function useNear() {
  const isNear = useSignal(false);
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) isNear.value = true;
      },
      { rootMargin: "100%" },
    );
    observer.observe(element);
    const timer = setTimeout(() => (isNear.value = true), FAR_LISTS_MS);
    return () => {
      observer.disconnect();
      clearTimeout(timer);
    };
  }, []);
  return { isNear, place };
}

function List({ title, dimensions }: { title: string; dimensions: string[] }) {
  const { isNear, place } = useNear();
  const dimension = dimensions.find((name) => view.value.lists.includes(name)) ?? (dimensions[0] as string);
  const choose = (name: string): void => {
    const others = view.value.lists.filter((one) => !dimensions.includes(one));
    go({ lists: name === dimensions[0] ? others : [...others, name] }, true);
  };
  const wanted = candidates(dimension);
  const query = wanted.find((one) => !isRefused(one));
  const metric = query?.metric;
  const refusal = wanted[0] && !query ? reasonOf(wanted[0])?.problem : undefined;
  const shown = useAnswers(isNear.value && query ? [query] : []);
  const asTable = useTable();
  const isShort = minutesOf(view.value.from, view.value.to, zone.value, minute.value) <= 180;
  const answer = shown.answers?.[0];
  const isAnswered = answer && Object.keys(answer.results[0]?.dimensions ?? { [dimension]: "" })[0] === dimension;
  return (
    <Card
      class="list-card"
      label={title}
      isOld={shown.isOld}
      title={<TabTitle title={title} dimensions={dimensions} open={dimension} choose={choose} />}
    >
      <div class="list-body" ref={place}>
        <div class="list-metric quiet">
          {metric ? metricName(metric) : ""}
          {isAnswered && isShort && ` · ${span(answer.from, answer.to)}`}
        </div>
        {refusal ? (
          <Empty>
            <span>{OF_PERIOD.some((name) => refusal.field?.endsWith(name)) ? refusal.title : "Not counted together with these filters."}</span>
            <span class="note"><Words text={refusal.detail} /></span>
          </Empty>
        ) : !metric ? (
          <Empty>Not counted together with these filters.</Empty>
        ) : shown.problem && !isAnswered ? (
          <ProblemNote problem={shown.problem} />
        ) : !isAnswered ? (
          <Skeleton rows={ROWS} />
        ) : answer.results.length ? (
          <BarList answer={answer} dimension={dimension} asTable={asTable.value} />
        ) : (
          <Empty>Nothing in this period.</Empty>
        )}
      </div>
      {query && !isWall.value && (
        <footer class="list-foot">
          <Link class="more" to={{ ...pageView("explore"), metric: query.metric, breakdown: [dimension] }}>
            All in Explore
          </Link>
          <div class="tools"><ListTools query={query} answer={isAnswered ? answer : undefined} dimension={dimension} asTable={asTable} /></div>
        </footer>
      )}
    </Card>
  );
}

interface TabTitleProps {
  title: string;
  dimensions: string[];
  open: string;
  choose: (dimension: string) => void;
}

function TabTitle({ title, dimensions, open, choose }: TabTitleProps) {
  if (dimensions.length === 1 || isWall.value) return <h2>{dimensionTitle(title, open)}</h2>;
  return (
    <>
      <h2 class="hidden">{title}</h2>
      <div class="tabs" role="group" aria-label={title}>
        {dimensions.map((name) => (
          <button type="button" key={name} aria-pressed={name === open} onClick={() => choose(name)}>
            {TAB_NAMES[name] ?? dimensionName(name)}
          </button>
        ))}
      </div>
    </>
  );
}

const TAB_NAMES: Record<string, string> = {
  page: "Pages", event: "Events", channel: "Channels", referrer: "Referrers", utm_campaign: "Campaigns", utm_source: "UTM",
  source: "Apps", country: "Countries", region: "Regions", language: "Languages", device: "Devices", browser: "Browsers", os: "Systems",
};

const dimensionTitle = (title: string, dimension: string): string => TAB_NAMES[dimension] ?? title;
