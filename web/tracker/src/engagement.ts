// Seconds in which the page was visible and its visitor active: something was pressed, moved or scrolled within 30 s.

const IDLE_MS = 30_000;
const AGAIN_MS = 1_000;

let total = 0;
let last = 0;
let isVisible = false;
let least = 0;

/** Count up to now. */
export const count = (): void => {
  const now = performance.now();
  if (isVisible) total += Math.min(now - last, IDLE_MS);
  last = now;
  isVisible = document.visibilityState === "visible";
};

/** The whole seconds since the last call, if enough for the page to count as read. */
export const takeSeconds = (): number => {
  count();
  if (total < least) return 0;
  const seconds = Math.round(total / 1000);
  total = 0;
  least = AGAIN_MS;
  return seconds;
};

/** A new page, that is read from `seconds` on. */
export const begin = (seconds: number): void => {
  count();
  total = 0;
  least = seconds * 1000;
};

export const listen = (): void => {
  for (const name of ["pointermove", "pointerdown", "keydown", "scroll"])
    addEventListener(name, count, { passive: true, capture: true });
};
