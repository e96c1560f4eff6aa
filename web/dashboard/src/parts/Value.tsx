// A number: short to the eye, exact in its title and to a screen reader; `data-value` is what the API answered.
import { useEffect, useRef } from "preact/hooks";
import { hidesMoney } from "../state/app";
import { type Shown, change, exact, short } from "../show/numbers";
import { isGoodWhenFalling } from "../show/names";

interface ValueProps extends Shown {
  value: number | null | undefined;
  isExact?: boolean;
  error?: number | null | undefined;
}

export function Value({ value, unit, currency, isExact = false, error = 0 }: ValueProps) {
  const shown: Shown = { unit, currency };
  const element = useRef<HTMLSpanElement>(null);
  const before = useRef(value);
  useEffect(() => {
    if (before.current !== value && before.current !== undefined && value !== undefined) mark(element.current);
    before.current = value;
  }, [value]);
  if (hidesMoney.value && unit === "money") return <span class="value">•••</span>;
  const whole = exact(value, shown);
  const text = isExact ? whole : short(value, shown);
  const isAbout = Boolean(error && value); // nobody at all is not an estimate
  const about = error && isAbout ? `about ${whole}, ± ${(error * 100).toFixed(2)} %` : whole;
  return (
    <span class="value" ref={element} title={about} data-value={value === null || value === undefined ? "" : String(value)}>
      {isAbout ? <span class="about" aria-hidden="true">≈</span> : null}
      <span aria-hidden="true">{text}</span>
      <span class="hidden">{about}</span>
    </span>
  );
}

/** A changed number is underlined for a moment; it is never moved. */
function mark(element: HTMLElement | null): void {
  if (!element) return;
  element.classList.remove("changed");
  void element.offsetWidth;
  element.classList.add("changed");
}

interface DeltaProps {
  metric: string;
  now: number | null;
  before: number | null | undefined;
  unit: Shown["unit"];
}

export function Delta({ metric, now, before, unit }: DeltaProps) {
  const difference = change(now, before, unit);
  if (!difference) return null;
  const isGood = (difference.direction === "up") !== isGoodWhenFalling(metric);
  const tone = difference.direction === "flat" || difference.text === "new" ? "flat" : isGood ? "good" : "bad";
  return (
    <span class={`delta ${tone}`} title={`${difference.words}, against the period before`}>
      <span aria-hidden="true">{difference.text}</span>
      <span class="hidden">{difference.words}</span>
    </span>
  );
}
