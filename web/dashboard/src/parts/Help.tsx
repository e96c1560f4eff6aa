// The shortcuts.
import { signal } from "@preact/signals";
import { PERIODS } from "../state/period";
import { PAGES } from "../state/url";
import { Dialog } from "./Dialog";

export const isHelpOpen = signal(false);

const KEYS: [string, string][] = [
  ["[  ]", "One period back, one on"],
  ["⌘K", "Go to a page, metric, period or product (Ctrl K)"],
  ["C", "Another period"],
  ["X", "Comparison on and off"],
  ["/", "Add a filter"],
  ["Esc", "Close; then take the newest filter away"],
  ["Space", "Pause and resume"],
  ["T", "Charts as tables"],
  ["S", "Copy the link to this view"],
  ["A", "Light, dark, automatic"],
];

export function Help() {
  if (!isHelpOpen.value) return null;
  return (
    <Dialog title="Shortcuts" onClose={() => (isHelpOpen.value = false)}>
      <div class="columns">
        <KeyList rows={KEYS} />
        <KeyList rows={PAGES.map(({ name }, index) => [String(index + 1), name])} />
        <KeyList rows={PERIODS.map(({ key, name }) => [key.toUpperCase(), name])} />
      </div>
      <p class="quiet">Shortcuts can be turned off in Settings, This browser.</p>
    </Dialog>
  );
}

const KeyList = ({ rows }: { rows: [string, string][] }) => (
  <dl class="keys">
    {rows.map(([key, name]) => (
      <div key={key}>
        <dt>
          <kbd>{key}</kbd>
        </dt>
        <dd>{name}</dd>
      </div>
    ))}
  </dl>
);
