// What belongs to this browser: theme, shortcuts. In localStorage; without it, for as long as the page is open.
import { signal } from "@preact/signals";

export interface Preferences {
  theme: "auto" | "light" | "dark";
  shortcuts: boolean;
}

const PLACE = "rta.preferences";
const STANDARD: Preferences = { theme: "auto", shortcuts: true };

function read(): Preferences {
  try {
    return { ...STANDARD, ...(JSON.parse(localStorage.getItem(PLACE) ?? "{}") as Partial<Preferences>) };
  } catch {
    return STANDARD;
  }
}

export const preferences = signal<Preferences>(read());

export function setPreference<Name extends keyof Preferences>(name: Name, value: Preferences[Name]): void {
  preferences.value = { ...preferences.value, [name]: value };
  try {
    localStorage.setItem(PLACE, JSON.stringify(preferences.value));
  } catch {
    // A browser that keeps nothing: the choice lasts until the page is closed.
  }
}
