// Light, dark, or as the system has it. `?theme=` wins, for walls and frames; else what this browser chose.
import { effect, signal } from "@preact/signals";
import { view } from "./app";
import { preferences, setPreference } from "./preferences";

export const THEMES = ["auto", "light", "dark"] as const;
export const theme = signal("auto");

export function startTheme(): void {
  effect(() => {
    const forced = view.value.more.theme ?? "";
    const chosen = ["light", "dark"].includes(forced) ? forced : preferences.value.theme;
    theme.value = chosen;
    const root = document.documentElement;
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    else delete root.dataset.theme;
    if (view.value.more.wall === "1") root.dataset.wall = "1";
    else delete root.dataset.wall;
  });
}

export function nextTheme(): void {
  const { theme: _, ...more } = view.value.more;
  if (_) view.value = { ...view.value, more };
  setPreference("theme", THEMES[(THEMES.indexOf(preferences.value.theme) + 1) % THEMES.length] ?? "auto");
}
