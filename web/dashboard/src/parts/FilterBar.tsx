// What is asked: period, comparison, zone, filters. On a phone it folds into one sheet.
import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { asProblem, query } from "../api/client";
import { dimensionName, valueName } from "../show/names";
import { go, interval, metrics, minute, period, setFilter, toggleFilter, view, zone } from "../state/app";
import { intervalsOf } from "../state/period";
import { isDimension, isZone } from "../state/url";
import { Icon } from "./Icon";
import { Menu } from "./Menu";
import { PeriodPicker } from "./PeriodPicker";

const COMPARISON_NAMES: Record<string, string> = {
  previous_period: "Period before",
  previous_year: "Year before",
  none: "No comparison",
};

export function FilterBar() {
  const hasExtra = useSignal(false);
  return (
    <div class="filter-bar">
      <PeriodPicker />
      <FilterMenu />
      <button
        type="button"
        class="button icon-only phone-only"
        aria-label="Interval, comparison, time zone"
        aria-expanded={hasExtra.value}
        onClick={() => (hasExtra.value = !hasExtra.value)}
      >
        <Icon name="settings" />
      </button>
      <div class={`bar-extra ${hasExtra.value ? "is-open" : ""}`}>
        <IntervalMenu />
        <CompareMenu />
        <ZoneMenu />
      </div>
      <Chips />
    </div>
  );
}

function IntervalMenu() {
  const usual = intervalsOf(view.value.from, view.value.to, zone.value, minute.value);
  const allowed = usual.includes(interval.value) ? usual : [...usual, interval.value];
  if (allowed.length < 2) return null;
  return (
    <Menu name="interval" title="Interval" label={<>by {interval.value} <Icon name="down" /></>}>
      {(close) => (
        <Choices
          values={allowed}
          chosen={interval.value}
          name={(value) => `by ${value}`}
          choose={(value) => {
            go({ interval: value === usual[0] ? "" : value });
            close();
          }}
        />
      )}
    </Menu>
  );
}

function CompareMenu() {
  return (
    <Menu name="compare" title="Compare with" label={<>{COMPARISON_NAMES[view.value.compare]} <Icon name="down" /></>}>
      {(close) => (
        <Choices
          values={Object.keys(COMPARISON_NAMES)}
          chosen={view.value.compare}
          name={(value) => COMPARISON_NAMES[value] ?? value}
          choose={(compare) => {
            go({ compare });
            close();
          }}
        />
      )}
    </Menu>
  );
}

interface ChoicesProps {
  values: string[];
  chosen: string;
  name: (value: string) => string;
  choose: (value: string) => void;
}

export function Choices({ values, chosen, name, choose }: ChoicesProps) {
  return (
    <ul class="choices">
      {values.map((value) => (
        <li key={value}>
          <button type="button" aria-pressed={value === chosen} data-first={value === chosen || undefined} onClick={() => choose(value)}>
            {name(value)}
          </button>
        </li>
      ))}
    </ul>
  );
}

function ZoneMenu() {
  return (
    <Menu name="zone" title="Time zone" class="button quiet-button" label={<>{zone.value.replace(/_/g, " ")} <Icon name="down" /></>}>
      {(close) => <ZonePanel close={close} />}
    </Menu>
  );
}

function ZonePanel({ close }: { close: () => void }) {
  const typed = useSignal("");
  const zones = Intl.supportedValuesOf("timeZone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const wanted = typed.value.toLowerCase().replace(/ /g, "_");
  const shown = wanted ? zones.filter((name) => name.toLowerCase().includes(wanted)).slice(0, 8) : [...new Set([own, "UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo"])];
  return (
    <div>
      <label class="field">
        <span>Days and hours are those of this zone</span>
        <input data-first value={typed.value} placeholder="Search a zone" onInput={(event) => (typed.value = event.currentTarget.value)} />
      </label>
      <Choices
        values={["", ...shown.filter(isZone)]}
        chosen={view.value.timezone}
        name={(value) => (value ? value.replace(/_/g, " ") : "The project's zone")}
        choose={(timezone) => {
          go({ timezone });
          close();
        }}
      />
    </div>
  );
}

function FilterMenu() {
  return (
    <Menu name="filter" title="Add a filter" label={<><Icon name="filter" /> <span class="filter-word">Filter</span></>}>
      {(close) => <FilterPanel close={close} />}
    </Menu>
  );
}

/** First the dimension, then a value: the most frequent ones of the period are offered, any other can be typed. */
function FilterPanel({ close }: { close: () => void }) {
  const dimension = useSignal("");
  const typed = useSignal("");
  const values = useSignal<string[]>([]);
  const note = useSignal("");
  const field = useRef<HTMLInputElement>(null);
  const known = [...new Set([...metrics.value.values()].flatMap((metric) => metric.dimensions))].filter(isDimension);
  useEffect(() => {
    const name = dimension.value;
    const metric = [...metrics.value.values()].find((one) => one.dimensions.includes(name));
    if (!name || !metric) return;
    query([{ metric: metric.name, ...period.value, breakdown: [name], limit: 50 }]).then(
      ([answer]) => (values.value = (answer?.results ?? []).map((row) => row.dimensions[name] ?? "")),
      (error) => (note.value = asProblem(error).detail),
    );
  }, [dimension.value]);
  // The button that was pressed is gone, and the focus with it.
  useLayoutEffect(() => field.current?.focus(), [dimension.value]);
  if (!dimension.value) {
    return <Choices values={known} chosen="" name={dimensionName} choose={(name) => (dimension.value = name)} />;
  }
  const name = dimension.value;
  const shown = values.value.filter((value) => valueName(name, value).toLowerCase().includes(typed.value.toLowerCase()));
  const choose = (value: string): void => {
    setFilter(name, [...(view.value.filters[name] ?? []), value]);
    close();
  };
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (typed.value.trim()) choose(shown.length === 1 ? (shown[0] as string) : typed.value.trim());
      }}
    >
      <label class="field">
        <span>{dimensionName(name)} is</span>
        <input ref={field} data-first value={typed.value} placeholder="Search or type a value" onInput={(event) => (typed.value = event.currentTarget.value)} />
      </label>
      {note.value && <p class="wrong">{note.value}</p>}
      <div class="scroll">
        <Choices values={shown.slice(0, 50)} chosen="" name={(value) => valueName(name, value)} choose={choose} />
      </div>
    </form>
  );
}

export function Chips() {
  const filters = Object.entries(view.value.filters);
  if (!filters.length) return null;
  return (
    <ul class="chips" aria-label="Filters">
      {filters.flatMap(([dimension, values]) =>
        values.map((value) => (
          <li class="chip" key={`${dimension}=${value}`} title={`${dimension}: ${value}`}>
            <span class="chip-name">{dimensionName(dimension)}</span>
            <span class="chip-value" dir="auto">
              {valueName(dimension, value)}
            </span>
            <button type="button" aria-label={`Remove the filter ${dimensionName(dimension)} ${value}`} onClick={() => toggleFilter(dimension, value)}>
              <Icon name="close" />
            </button>
          </li>
        )),
      )}
      {filters.length > 1 && (
        <li>
          <button type="button" class="button small quiet-button" onClick={() => go({ filters: {} })}>
            Clear all
          </button>
        </li>
      )}
    </ul>
  );
}
