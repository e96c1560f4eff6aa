// The rows of the catalog.
import { Table } from "../../parts/Table";
import { exact } from "../../show/numbers";
import { moment } from "../../show/times";
import { currency, zone } from "../../state/app";
import { dimensionName } from "../../show/names";
import { ProductMark } from "../products/ProductMark";
import type { Entity, Kind } from "./kinds";

const TIMES = new Set(["updated_at", "created_at", "first_seen", "last_seen"]);
const TITLES: Record<string, string> = { id: "Id", updated_at: "Changed" };

const columnOf = (name: string): string => `${name === "price" ? "#" : ""}${TITLES[name] ?? dimensionName(name)}`;

export function EntityTable({ kind, items, open }: { kind: Kind; items: Entity[]; open: (entity: Entity) => void }) {
  return (
    <Table label={kind.title} class="entities" columns={kind.columns.map(columnOf)}>
      {items.map((entity) => (
        <tr key={entity.id} onClick={() => open(entity)}>
          {kind.columns.map((name) =>
            name === "name" ? (
              <th scope="row" key={name}>
                <button type="button" class="product-cell" onClick={() => open(entity)}>
                  <ProductMark name={String(entity.name || entity.id)} />
                  <span class="row-name" dir="auto">{String(entity.name || entity.id)}</span>
                </button>
              </th>
            ) : (
              <td key={name} class={name === "price" ? "number" : "cut"} dir={name === "price" ? undefined : "auto"}>{cellOf(entity, name)}</td>
            ),
          )}
        </tr>
      ))}
    </Table>
  );
}

function cellOf(entity: Entity, name: string) {
  const value = entity[name];
  if (value === null || value === undefined) return <span class="quiet">–</span>;
  if (TIMES.has(name)) return <span class="quiet nowrap">{moment(String(value), zone.value)}</span>;
  if (name === "price") return exact(Number(value), { unit: "money", currency: String(entity.currency ?? currency.value) });
  if (name === "status") return <span class={`badge flush ${value}`}>{String(value)}</span>;
  return String(value);
}
