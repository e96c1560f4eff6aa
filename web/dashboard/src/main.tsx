// Starts: address → session → page. The pages but the first are loaded when one of them is opened.
import { effect, signal } from "@preact/signals";
import { type ComponentType, render } from "preact";
import { asProblem, watchers } from "./api/client";
import { clockOffset, serverNow, start as startBoard, subscribe } from "./live/board";
import { comeFirst } from "./live/first";
import { firstQueries, Overview } from "./pages/Overview";
import { SignIn } from "./pages/SignIn";
import { ProblemNote } from "./parts/Card";
import { Shell } from "./parts/Shell";
import { loadSession, minute, project, readAddress, session, signIn, view } from "./state/app";
import { startKeys } from "./state/keys";
import { startTheme } from "./state/theme";
import { PAGES, type PageName } from "./state/url";

/** So often a page that stays open looks whether the day has changed. */
const TICK_MS = 15_000;

const signInNote = signal("");
const loaded = signal<Partial<Record<PageName, ComponentType>>>({ overview: Overview });
const failure = signal<unknown>(null);

/** A tab from before an upgrade asks for a part that is gone: it is loaded anew, once. */
function loadPage(page: PageName): void {
  if (loaded.value[page]) return;
  import("./pages/others").then(
    (others) => (loaded.value = { ...loaded.value, ...others }),
    (error) => {
      if (sessionStorage.getItem("rta.reloaded") === location.href) failure.value = error;
      else {
        sessionStorage.setItem("rta.reloaded", location.href);
        location.reload();
      }
    },
  );
}

function CurrentPage() {
  const { page } = view.value;
  const Part = loaded.value[page];
  if (!Part) loadPage(page);
  const name = PAGES.find((one) => one.page === page)?.name ?? "";
  document.title = `${name} · ${project.value?.name ?? "RTAPlatform"}`;
  return Part ? <Part /> : <div class="page" aria-busy="true" />;
}

function App() {
  if (failure.value) return <main class="sign-in"><ProblemNote problem={asProblem(failure.value)} onRetry={() => location.reload()} /></main>;
  if (session.value === "out") return <SignIn note={signInNote.value} />;
  if (session.value === "unknown") return <div class="page" aria-busy="true" />;
  return (
    <Shell>
      <CurrentPage />
    </Shell>
  );
}

/** `/#start=CODE`: the code is in the fragment, so no log has it. It leaves the address at once. */
async function startSession(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get("start");
  if (code) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      return await signIn({ start: code });
    } catch (error) {
      signInNote.value = asProblem(error).detail;
    }
  }
  await loadSession();
}

readAddress();
startTheme();
addEventListener("popstate", readAddress);
setInterval(() => (minute.value = serverNow()), TICK_MS);
effect(() => {
  minute.value = Date.now() + clockOffset.value;
});
startKeys();
watchers.signedIn = async () => {
  if (view.value.page === "overview") await comeFirst(firstQueries().filter((queries) => queries.length > 0).map(subscribe));
};
startBoard();
render(<App />, document.getElementById("app") as HTMLElement);
startSession().catch((error) => {
  const problem = asProblem(error);
  if (problem.status === 401 || problem.status === 403) session.value = "out";
  else failure.value = error;
});
