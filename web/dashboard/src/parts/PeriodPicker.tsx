// The period: back, the menu, on. It takes presets, typed lengths and two dates.
import { useSignal } from "@preact/signals";
import { go, minute, view, zone } from "../state/app";
import { PERIODS, periodName, resolve, shifted, shiftDay, typedPeriod } from "../state/period";
import { Icon } from "./Icon";
import { Menu } from "./Menu";

export function setPeriod(from: string, to: string): void {
  go({ from, to, interval: "" });
}

export function shiftPeriod(by: number): void {
  const { from, to } = view.value;
  const next = shifted(from, to, by, zone.value, minute.value);
  if (next) setPeriod(next.from, next.to);
}

export function PeriodPicker() {
  const { from, to } = view.value;
  const canGoOn = shifted(from, to, 1, zone.value, minute.value) !== null;
  return (
    <div class="joined">
      <button type="button" class="button icon-only" title="One period back  [" aria-label="One period back" onClick={() => shiftPeriod(-1)}>
        <Icon name="left" />
      </button>
      <Menu
        name="period"
        title="Period"
        label={
          <>
            <Icon name="calendar" />
            <span>{periodName(from, to)}</span>
            <Icon name="down" />
          </>
        }
      >
        {(close) => <PeriodPanel close={close} />}
      </Menu>
      <button
        type="button"
        class="button icon-only"
        title="One period on  ]"
        aria-label="One period on"
        disabled={!canGoOn}
        onClick={() => shiftPeriod(1)}
      >
        <Icon name="right" />
      </button>
    </div>
  );
}

function PeriodPanel({ close }: { close: () => void }) {
  const { from, to } = view.value;
  const typed = useSignal("");
  const isWrong = useSignal(false);
  const today = resolve("today", zone.value, minute.value);
  const first = useSignal(/^\d{4}-\d{2}-\d{2}/.test(from) ? from.slice(0, 10) : shiftDay(today, -6));
  const last = useSignal(/^\d{4}-\d{2}-\d{2}$/.test(to) ? shiftDay(to, -1) : today);
  const choose = (chosen: { from: string; to: string }): void => {
    setPeriod(chosen.from, chosen.to);
    close();
  };
  return (
    <div class="period-panel">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const period = typedPeriod(typed.value);
          isWrong.value = !period;
          if (period) choose(period);
        }}
      >
        <label class="field">
          <span>Type a period</span>
          <input
            data-first
            value={typed.value}
            placeholder="90 min, 3h, 14d, 2026-11-01..2026-11-07"
            aria-invalid={isWrong.value}
            onInput={(event) => (typed.value = event.currentTarget.value)}
          />
        </label>
        {isWrong.value && <p class="wrong">Write a length like 3h or 14d, a date, or two dates with .. between them.</p>}
      </form>
      <ul class="choices two">
        {PERIODS.map((period) => (
          <li key={period.name}>
            <button type="button" aria-pressed={period.from === from && period.to === to} onClick={() => choose(period)}>
              <span>{period.name}</span>
              <kbd>{period.key.toUpperCase()}</kbd>
            </button>
          </li>
        ))}
      </ul>
      <form
        class="dates"
        onSubmit={(event) => {
          event.preventDefault();
          if (first.value && last.value >= first.value) choose({ from: first.value, to: shiftDay(last.value, 1) });
        }}
      >
        <label class="field">
          <span>From</span>
          <input type="date" value={first.value} max={today} onInput={(event) => (first.value = event.currentTarget.value)} />
        </label>
        <label class="field">
          <span>To, included</span>
          <input type="date" value={last.value} max={today} onInput={(event) => (last.value = event.currentTarget.value)} />
        </label>
        <button type="submit" class="button">
          Show
        </button>
      </form>
    </div>
  );
}
