// A card and its states: first load, old, error with its remedy, empty. Old numbers stay until new ones are there.
import type { ComponentChildren } from "preact";
import type { Problem } from "../api/types";
import { retry } from "../live/board";
import { go, view } from "../state/app";

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

export function ProblemNote({ problem, onRetry }: { problem: Problem; onRetry?: () => void }) {
  const isShape = problem.status === 422;
  const isInterval = isShape && (problem.field ?? "").endsWith("interval") && Array.isArray(problem.allowed);
  const intervals = isInterval ? (problem.allowed as string[]).filter((name) => name !== "none") : [];
  const hasFilters = Object.keys(view.value.filters).length > 0;
  return (
    <div class="problem" role="note">
      <strong>{problem.status === 403 ? "This key may not see this" : problem.title}</strong>
      <p>{problem.detail}</p>
      {problem.hint && problem.hint !== problem.detail && <p class="quiet">{problem.hint}</p>}
      <div class="row">
        {isShape && hasFilters && (
          <button type="button" class="button small" onClick={() => go({ filters: {} })}>
            Drop the filters
          </button>
        )}
        {intervals.map((interval) => (
          <button type="button" class="button small" key={interval} onClick={() => go({ interval })}>
            by {interval}
          </button>
        ))}
        {!isShape && problem.status !== 403 && (
          <button type="button" class="button small" onClick={onRetry ?? retry}>
            Try again
          </button>
        )}
      </div>
    </div>
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
