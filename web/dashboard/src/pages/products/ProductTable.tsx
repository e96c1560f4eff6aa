// Products with their numbers, sorted by the server; the shares of step to step are made from the row.
import type { Unit } from "../../api/types";
import { Card, Empty } from "../../parts/Card";
import { Link, NewProductLink } from "../../parts/links";
import { Delta, Value } from "../../parts/Value";
import { csvOf, fileName, save } from "../../show/files";
import { ratio } from "../../show/numbers";
import { metricName } from "../../show/names";
import { pageView, period, setMore } from "../../state/app";
import { products } from "../../state/products";
import { ToolButton } from "../../parts/MetricChart";
import { ProductMark } from "./ProductMark";

export interface ProductNumbers {
  id: string;
  values: Record<string, number | null>;
  previous: number | null;
}

interface ProductTableProps {
  rows: ProductNumbers[];
  by: string;
  unit: Unit;
  currency: string;
  isOld: boolean;
}

const COLUMNS = ["product_views", "adds_to_cart", "orders", "units", "revenue", "visitors"];
const SHORT: Record<string, string> = { product_views: "Views", adds_to_cart: "Carts" };

export function ProductTable({ rows, by, unit, currency, isOld }: ProductTableProps) {
  const share = (row: ProductNumbers, upper: string, lower: string): string => {
    const [a, b] = [row.values[upper], row.values[lower]];
    return b ? ratio((a ?? 0) / b) : "–";
  };
  const saveAll = (): void => {
    const head = ["product_id", "name", ...COLUMNS];
    const lines = rows.map(({ id, values }) => [id, products.value.get(id)?.name ?? "", ...COLUMNS.map((name) => values[name])]);
    save(`${fileName("products", by, period.value.from)}.csv`, csvOf([head, ...lines]));
  };
  return (
    <Card label="Products" title={`${rows.length} products by ${(SHORT[by] ?? metricName(by)).toLowerCase()}`} isOld={isOld} tools={<ToolButton icon="download" title="Save as CSV" act={saveAll} />}>
      {!rows.length && <Empty>No product in this period.</Empty>}
      {rows.length > 0 && (
        <div class="table-box" tabIndex={0} role="region" aria-label="Products">
          <table class="products">
            <thead>
              <tr>
                <th scope="col" class="number rank">#</th>
                <th scope="col">Product</th>
                {COLUMNS.map((name) => (
                  <th scope="col" class="number" key={name} aria-sort={name === by ? "descending" : undefined}>
                    <button type="button" class="sort" title={`Sort by ${metricName(name)}`} onClick={() => setMore({ by: name === "product_views" ? "" : name })}>
                      {SHORT[name] ?? metricName(name)}
                      {name === by ? " ↓" : ""}
                    </button>
                  </th>
                ))}
                <th scope="col" class="number" title="Adds to cart ÷ views, of the rows shown">View → cart</th>
                <th scope="col" class="number" title="Orders ÷ adds to cart, of the rows shown">Cart → order</th>
                <th scope="col" class="number">Change</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((row, index) => (
                <tr key={row.id}>
                  <td class="number quiet rank">{index + 1}</td>
                  <th scope="row"><ProductCell id={row.id} /></th>
                  {COLUMNS.map((name) => (
                    <td class={`number ${name === by ? "strong" : ""}`} key={name}>
                      {row.values[name] === undefined ? <span class="quiet">…</span> : <Value value={row.values[name]} unit={name === "revenue" ? "money" : "count"} currency={currency} />}
                    </td>
                  ))}
                  <td class="number quiet">{share(row, "adds_to_cart", "product_views")}</td>
                  <td class="number quiet">{share(row, "orders", "adds_to_cart")}</td>
                  <td class="number"><Delta metric={by} now={row.values[by] ?? null} before={row.previous} unit={unit} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

export function ProductCell({ id }: { id: string }) {
  const product = products.value.get(id);
  const name = product?.name || id;
  return (
    <span class={`product-cell ${product?.status === "archived" ? "archived" : ""}`}>
      <ProductMark name={name} />
      <span class="row-main">
        <Link class="row-name" to={pageView("products", id)} title={name}>
          <span dir="auto">{name}</span>
        </Link>
        <span class="quiet">
          {product === null ? <NewProductLink id={id} /> : <span dir="auto">{product?.category ?? ""}</span>}
          {product && product.status !== "active" && ` · ${product.status}`}
        </span>
      </span>
    </span>
  );
}
