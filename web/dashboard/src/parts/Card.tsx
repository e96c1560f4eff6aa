// A card and its states: first load, old, error with its remedy, empty. Old numbers stay until new ones are there.
import type { ComponentChildren } from "preact";
import type { Problem } from "../api/types";
import { retry } from "../live/board";
import { go, project, view } from "../state/app";
import { DEFAULT_PERIOD } from "../state/period";
import type { View } from "../state/url";

interface CardProps {
  title?: ComponentChildren;
  tools?: ComponentChildren;
  class?: string;
  isOld?: boolean;
  label?: string;
  children: ComponentChildren;
}

export function Card({ title, tools, children, label, isOld = false, class: kind = "" }: CardProps) {
  return (
    <section class={`card ${kind} ${isOld ? "is-old" : ""}`} aria-label={label} aria-busy={isOld}>
      {(title || tools) && (
        <header class="card-head">
          {typeof title === "string" ? <h2>{title}</h2> : title}
          {tools && <div class="tools">{tools}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

/** What the API says, in its words, with a button for each remedy that the page knows. */
export function ProblemNote({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  const isShape = problem.status === 422;
  const title = problem.status === 403 ? "This key may not see this" : problem.title;
  return (
    <div class="problem" role="note">
      <strong>{title}</strong>
      <p><Words text={problem.detail} /></p>
      {problem.hint && problem.hint !== problem.detail && <p class="quiet"><Words text={problem.hint} /></p>}
      <div class="row">
        {isShape && <Remedies problem={problem} />}
        {!isShape && problem.status !== 403 && (
          <button type="button" class="button small" onClick={onRetry ?? retry}>
            Try again
          </button>
        )}
      </div>
    </div>
  );
}

/** The API writes names of parameters between backticks. */
export const Words = ({ text }: { text: string }) => (
  <>{text.split("`").map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>
);

/** The fields of a question that say when. */
export const OF_PERIOD = ["from", "to", "interval", "timezone", "compare"];

/** Another interval, the project's zone, no comparison, the usual period, or no filters: whichever the refusal is about. */
export function Remedies({ problem }: { problem: Problem }) {
  const field = (problem.field ?? "").split(".").pop() ?? "";
  const allowed = Array.isArray(problem.allowed) ? (problem.allowed as string[]) : [];
  const remedies: [string, Partial<View>][] = [];
  if (field === "interval") for (const interval of allowed) if (interval !== "none") remedies.push([`by ${interval}`, { interval }]);
  if (field === "timezone" && view.value.timezone) remedies.push([`In ${project.value?.zone.replace(/_/g, " ")}`, { timezone: "" }]);
  if (field === "compare" && view.value.compare !== "none") remedies.push(["Without comparison", { compare: "none" }]);
  if (field === "from" || field === "to") remedies.push([DEFAULT_PERIOD.name, { from: DEFAULT_PERIOD.from, to: "", interval: "" }]);
  if (!OF_PERIOD.includes(field) && Object.keys(view.value.filters).length) remedies.push(["Drop the filters", { filters: {} }]);
  return (
    <>
      {remedies.map(([name, change]) => (
        <button type="button" class="button small" key={name} onClick={() => go(change)}>
          {name}
        </button>
      ))}
    </>
  );
}

export const Skeleton = ({ rows = 1 }: { rows?: number }) => (
  <div class="skeleton" aria-hidden="true">
    {Array.from({ length: rows }, (_, index) => (
      <span key={index} />
    ))}
  </div>
);

export const Empty = ({ children }: { children: ComponentChildren }) => <div class="empty">{children}</div>;
