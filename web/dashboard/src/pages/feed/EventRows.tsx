// Events as a table: when, what, who, about what, and what became of it.
import type { FeedItem } from "../../api/types";
import { Table } from "../../parts/Table";
import { aboutOf, amountOf, eventName, personOf, placeOf, STATUS_WORDS } from "../../show/events";
import { valueName } from "../../show/names";
import { timeOfDay } from "../../show/times";
import { hidesMoney, zone } from "../../state/app";

export function EventRows({ items, open }: { items: FeedItem[]; open: (item: FeedItem) => void }) {
  return (
    <Table label="Events" class="events" columns={["Arrived", "Event", "Person", "About", "#Amount", "From", "Place"]}>
      {items.map((item) => (
        <tr key={item.id} class={`status-${item.status}`} onClick={() => open(item)}>
          <td class="mono nowrap">{timeOfDay(Date.parse(item.received_at ?? ""), zone.value, true)}</td>
          <td class="nowrap">
            <button type="button" class="cell-link" dir="auto" onClick={() => open(item)}>
              {eventName(item)}
            </button>
            {item.status !== "counted" && <span class={`badge ${item.status}`} title={item.problem?.detail}>{STATUS_WORDS[item.status]}</span>}
            {item.marks.length > 0 && item.status === "counted" && <span class="badge" title={item.marks.join("\n")}>noted</span>}
          </td>
          <td class="cut" dir="auto">{personOf(item)}</td>
          <td class="cut" dir="auto">{item.problem ? item.problem.detail : aboutOf(item)}</td>
          <td class="number nowrap">{hidesMoney.value ? "" : amountOf(item)}</td>
          <td class="nowrap">{item.source ? valueName("source", item.source) : ""}</td>
          <td class="cut quiet">{placeOf(item)}</td>
        </tr>
      ))}
    </Table>
  );
}
