// `meta` in words: how fresh, how exact, what was left out. A number that cannot say this is a guess.
import type { Answer, Query } from "../../api/types";
import { plural } from "../../show/numbers";
import { curlOf } from "../../show/files";
import { span, timeOfDay } from "../../show/times";

export function HowItWasMade({ answer, query }: { answer: Answer; query: Query }) {
  const { meta } = answer;
  return (
    <details class="card made" open>
      <summary>How this number was made</summary>
      <dl class="facts">
        <Fact name="Includes">everything that Kafka had at {timeOfDay(Date.parse(meta.as_of ?? ""), answer.timezone, true)} ({answer.timezone})</Fact>
        <Fact name="Period">{span(answer.from, answer.to)}, from included, to excluded</Fact>
        <Fact name="Behind">{meta.lag_ms === null ? "unknown" : `${meta.lag_ms} ms`}</Fact>
        <Fact name="Exact">{exactness(answer)}</Fact>
        <Fact name="Complete">{meta.complete ? "yes: every partition is counted up to that moment" : "no: the note says why"}</Fact>
        <Fact name="Left out">{leftOut(answer)}</Fact>
        {meta.other_currencies ? <Fact name="Other currencies">{plural(meta.other_currencies, "order")} in a currency that is not the project's</Fact> : null}
        {meta.traits ? <Fact name="Traits">those that were known of each person when the event was counted</Fact> : null}
        {meta.reasons?.map((reason) => <Fact key={reason} name="Note">{reason}</Fact>)}
        <Fact name="The question"><code>{curlOf(query)}</code></Fact>
      </dl>
    </details>
  );
}

const Fact = ({ name, children }: { name: string; children: preact.ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

function exactness({ meta }: Answer): string {
  if (meta.exact) return "yes: every event counts exactly once";
  if (meta.error === null) return "no: a cap has hidden a part, so the error is unknown";
  return `an estimate with a standard error of ${(meta.error * 100).toFixed(2)} %`;
}

function leftOut({ meta }: Answer): string {
  const parts = [
    meta.duplicates && plural(meta.duplicates, "repeat"),
    meta.late && `${plural(meta.late, "event")} too late`,
    meta.dead && plural(meta.dead, "dead letter"),
    meta.repeated_orders && plural(meta.repeated_orders, "repeated order"),
    meta.unreadable_amounts && `${plural(meta.unreadable_amounts, "amount")} that cannot be read`,
    meta.unreadable_times && `${plural(meta.unreadable_times, "time")} that cannot be read`,
  ].filter(Boolean);
  return parts.length ? `${parts.join(", ")}, in the whole project and period` : "nothing";
}
