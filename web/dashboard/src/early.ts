// Asks who is signed in and which metrics there are, while the page's own scripts are on their way. It imports nothing.
// A sign-in by link must come first: then nothing is asked here.
if (!location.hash.includes("start=")) {
  const early = new Map<string, Promise<Response>>();
  for (const path of ["/v1/session", "/v1/metrics"]) {
    const response = fetch(path, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(30_000) });
    response.catch(() => {}); // who takes it learns of it
    early.set(path, response);
  }
  (window as unknown as { early?: typeof early }).early = early;
}

export {};
