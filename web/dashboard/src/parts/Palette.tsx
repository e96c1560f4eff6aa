// ⌘K / Ctrl K: type where to go. Pages, metrics, periods, and products of the catalog by the beginning of their name.
import { signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../api/client";
import type { Page } from "../api/types";
import { metricName } from "../show/names";
import { can, go, metrics, pageView } from "../state/app";
import { PERIODS } from "../state/period";
import { PAGES } from "../state/url";
import { Dialog } from "./Dialog";
import { setPeriod } from "./PeriodPicker";

interface Target {
  kind: string;
  name: string;
  act: () => void;
}

export const isPaletteOpen = signal(false);
const SHOWN = 9;
const TYPING_MS = 150;

const targets = (): Target[] => [
  ...PAGES.map(({ page, name }) => ({ kind: "Page", name, act: () => go(pageView(page)) })),
  ...PERIODS.map(({ name, from, to }) => ({ kind: "Period", name, act: () => setPeriod(from, to) })),
  ...[...metrics.value.keys()].map((metric) => ({ kind: "Metric", name: metricName(metric), act: () => go({ ...pageView("explore"), metric }) })),
];

export function Palette() {
  return isPaletteOpen.value ? <PaletteDialog /> : null;
}

function PaletteDialog() {
  const typed = useSignal("");
  const place = useSignal(0);
  const products = useSignal<Target[]>([]);
  const close = (): void => {
    isPaletteOpen.value = false;
  };
  useEffect(() => {
    const text = typed.value.trim();
    products.value = [];
    if (text.length < 2 || !can("catalog:read")) return;
    const timer = setTimeout(() => {
      get<Page<{ id: string; name: string | null }>>(`/v1/products?limit=5&q=${encodeURIComponent(text)}`).then(
        ({ items }) => (products.value = items.map(({ id, name }) => ({ kind: "Product", name: name || id, act: () => go(pageView("products", id)) }))),
        () => {},
      );
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed.value]);
  const words = typed.value.trim().toLowerCase();
  const shown = [...targets().filter(({ name, kind }) => `${kind} ${name}`.toLowerCase().includes(words)).slice(0, SHOWN), ...products.value];
  const chosen = Math.min(place.value, shown.length - 1);
  const choose = (target: Target | undefined): void => {
    if (!target) return;
    close();
    target.act();
  };
  const key = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place.value = (chosen + step + shown.length) % shown.length;
  };
  return (
    <Dialog title="Go to" onClose={close}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          choose(shown[chosen]);
        }}
      >
        <input
          autoFocus
          role="combobox"
          aria-expanded="true"
          aria-controls="palette-list"
          aria-activedescendant={shown.length ? `palette-${chosen}` : undefined}
          aria-label="Page, metric, period or product"
          placeholder="Page, metric, period or product"
          value={typed.value}
          onKeyDown={key}
          onInput={(event) => {
            typed.value = event.currentTarget.value;
            place.value = 0;
          }}
        />
      </form>
      <div class="choices" role="listbox" id="palette-list" aria-label="Where to go">
        {shown.map((target, index) => (
          <div key={`${target.kind} ${target.name}`} id={`palette-${index}`} role="option" tabIndex={-1} aria-selected={index === chosen} class="palette-row" onClick={() => choose(target)}>
            <span dir="auto">{target.name}</span>
            <span class="quiet">{target.kind}</span>
          </div>
        ))}
        {!shown.length && <p class="quiet">Nothing has this name.</p>}
      </div>
    </Dialog>
  );
}
