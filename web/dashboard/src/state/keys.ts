// Shortcuts: single letters, never while typing, never with a modifier, off in Settings.
import { pause } from "../live/board";
import { shiftPeriod, setPeriod } from "../parts/PeriodPicker";
import { copy } from "../show/files";
import { go, isWall, linkTo, pageView, session, view } from "./app";
import { PERIODS } from "./period";
import { preferences } from "./preferences";
import { nextTheme } from "./theme";
import { PAGES } from "./url";
import { isHelpOpen } from "../parts/Help";
import { isPaletteOpen } from "../parts/Palette";

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

const openMenu = (name: string): void => document.querySelector<HTMLButtonElement>(`[data-menu="${name}"]`)?.click();

const ACTIONS: Record<string, () => void> = {
  "[": () => shiftPeriod(-1),
  "]": () => shiftPeriod(1),
  "/": () => openMenu("filter"),
  " ": pause,
  "?": () => (isHelpOpen.value = !isHelpOpen.value),
  c: () => openMenu("period"),
  x: () => go({ compare: view.value.compare === "none" ? "previous_period" : "none" }),
  t: () => dispatchEvent(new CustomEvent("rta:table")),
  s: () => void copy(location.origin + linkTo({}), "The link is"),
  a: nextTheme,
};

/** Escape: what is open closes first (menus and dialogs take it themselves), then the newest filter goes. */
function dropNewestFilter(): void {
  const names = Object.keys(view.value.filters);
  const newest = names[names.length - 1];
  if (!newest) return;
  const { [newest]: _, ...filters } = view.value.filters;
  go({ filters });
}

export function startKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && session.value === "in") {
      event.preventDefault();
      isPaletteOpen.value = !isPaletteOpen.value;
      return;
    }
    if (event.defaultPrevented || isTyping(event.target) || !preferences.value.shortcuts) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open], .panel")) return;
    const { key } = event;
    if (key === " " && event.target instanceof HTMLButtonElement) return;
    if (key === "Escape") return isWall.value ? go({ more: {} }) : dropNewestFilter();
    const page = PAGES[Number(key) - 1];
    const period = PERIODS.find((one) => one.key === key.toLowerCase());
    const action = ACTIONS[key.toLowerCase()];
    if (page && /^[1-9]$/.test(key)) go(pageView(page.page));
    else if (action) action();
    else if (period) setPeriod(period.from, period.to);
    else return;
    event.preventDefault();
  });
}

