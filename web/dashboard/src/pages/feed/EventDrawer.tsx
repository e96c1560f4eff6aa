// One event in full: what was understood, what was noted, why it was refused and the remedy, the raw text.
import type { FeedItem } from "../../api/types";
import { Dialog } from "../../parts/Dialog";
import { Link } from "../../parts/links";
import { copy } from "../../show/files";
import { eventName, personOf, productsOf, STATUS_WORDS } from "../../show/events";
import { indentJson } from "../../show/raw";
import { moment } from "../../show/times";
import { go, pageView, setFilter, setMore, view, zone } from "../../state/app";

export function EventDrawer({ item, close }: { item: FeedItem; close: () => void }) {
  const person = personOf(item);
  const users = pageView("catalog", "users");
  /** In the feed, also if the event was opened on another page. */
  const only = (filter: () => void): void => {
    if (view.value.page !== "feed") go(pageView("feed"));
    filter();
    close();
  };
  return (
    <Dialog title={eventName(item)} kind="drawer" onClose={close}>
      <div class="row">
        <span class={`badge ${item.status}`}>{STATUS_WORDS[item.status]}</span>
        {item.event && <button type="button" class="button small" onClick={() => only(() => setFilter("event", [item.event as string]))}>Only this event</button>}
        {person && <button type="button" class="button small" onClick={() => only(() => setMore({ person }))}>Only this person</button>}
        {item.persons.user_id && <Link class="button small" to={{ ...users, more: { ...users.more, id: item.persons.user_id } }}>The user</Link>}
        {productsOf(item).slice(0, 1).map((id) => <Link key={id} class="button small" to={pageView("products", id)}>The product</Link>)}
      </div>
      {item.problem && (
        <div class="problem">
          <strong dir="auto">{item.problem.detail}</strong>
          {item.problem.field && <p>Field: <code>{item.problem.field}</code></p>}
          {item.problem.hint && <p>{item.problem.hint}</p>}
          <p class="quiet">Reason: <code>{item.problem.reason}</code></p>
        </div>
      )}
      {item.marks.length > 0 && (
        <ul class="marks">
          {item.marks.map((mark) => <li key={mark}>{mark}</li>)}
        </ul>
      )}
      <dl class="facts">
        {item.time && <Fact name="Time">{moment(item.time, zone.value, true)}</Fact>}
        {item.received_at && <Fact name="Arrived">{moment(item.received_at, zone.value, true)}</Fact>}
        {Object.entries(item.persons).map(([name, value]) => <Fact key={name} name={name}>{value}</Fact>)}
        {Object.entries(item.fields).map(([name, value]) => <Fact key={name} name={name}>{typeof value === "object" ? JSON.stringify(value) : String(value)}</Fact>)}
        <Fact name="id"><code>{item.id}</code></Fact>
      </dl>
      <div class="row">
        <h3>As it was sent{item.is_raw_cut ? ", cut" : ""}</h3>
        <button type="button" class="button small" onClick={() => void copy(item.raw, "The event is")}>Copy</button>
      </div>
      <pre class="raw" tabIndex={0}>{indentJson(item.raw)}</pre>
    </Dialog>
  );
}

const Fact = ({ name, children }: { name: string; children: preact.ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd dir="auto">{children}</dd>
  </div>
);
