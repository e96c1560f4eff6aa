// Keeps a screen awake, where the browser can and the system allows it.

/** Ask until the returned function is called. A page that is hidden loses the lock, so it asks again when it is seen. */
export function keepAwake(screen: WakeLock | null = navigator.wakeLock ?? null, page: Document = document): () => void {
  // One request after the other, so that no lock is forgotten.
  let held: Promise<WakeLockSentinel | null> = Promise.resolve(null);
  const request = async (): Promise<WakeLockSentinel | null> => {
    if (!screen || page.visibilityState !== "visible") return null;
    // A refusal, as with a low battery, leaves the wall as it is.
    return screen.request("screen").catch(() => null);
  };
  const ask = (): void => {
    held = held.then((lock) => (lock && !lock.released ? lock : request()));
  };
  page.addEventListener("visibilitychange", ask);
  ask();
  return () => {
    page.removeEventListener("visibilitychange", ask);
    void held.then((lock) => lock?.release());
  };
}
