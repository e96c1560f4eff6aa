// Products with their numbers, sorted by the server; the shares of step to step are made from the row.
import type { Answer, Query, Unit } from "../../api/types";
import { Card, Empty } from "../../parts/Card";
import { Link, NewProductLink } from "../../parts/links";
import { Delta, Value } from "../../parts/Value";
import { curlOfAll, type Sheet } from "../../show/files";
import { exact, ratio } from "../../show/numbers";
import { metricName } from "../../show/names";
import { pageView, setMore, view } from "../../state/app";
import { products } from "../../state/products";
import { CopyTools } from "../../parts/CopyTools";
import { aboutOf, fileOf } from "../../parts/MetricChart";
import { type PictureTable, pictureOfTable } from "../../show/picture-rows";
import { ProductMark } from "./ProductMark";

export interface ProductNumbers {
  id: string;
  values: Record<string, number | null>;
  previous: number | null;
}

interface ProductTableProps {
  rows: ProductNumbers[];
  by: string;
  /** What was asked: the ranking, and the other columns for its products. */
  queries: Query[];
  answer: Answer;
  currency: string;
  isOld: boolean;
}

const COLUMNS = ["product_views", "adds_to_cart", "orders", "units", "revenue", "visitors"];
const unitOf = (name: string): Unit => (name === "revenue" ? "money" : "count");
const SHORT: Record<string, string> = { product_views: "Views", adds_to_cart: "Carts" };

export function ProductTable({ rows, by, queries, answer, currency, isOld }: ProductTableProps) {
  const share = (row: ProductNumbers, upper: string, lower: string): string => {
    const [a, b] = [row.values[upper], row.values[lower]];
    return b ? ratio((a ?? 0) / b) : "–";
  };
  const title = `${rows.length} products by ${(SHORT[by] ?? metricName(by)).toLowerCase()}`;
  const asked = queries.map(({ metric }) => metric);
  const sheet = (): Sheet => ({
    head: ["product_id", "name", ...COLUMNS],
    rows: rows.map(({ id, values }) => [id, products.value.get(id)?.name ?? "", ...COLUMNS.map((name) => values[name])]),
  });
  const table = (): PictureTable => ({
    columns: ["Product", ...COLUMNS.map((name) => SHORT[name] ?? metricName(name))],
    rows: rows.map(({ id, values }) => ({ cells: [products.value.get(id)?.name || id, ...COLUMNS.map((name) => exact(values[name], { unit: unitOf(name), currency }))] })),
  });
  const tools = (
    <CopyTools
      file={fileOf({ metric: `products_by-${by}` }, answer)}
      curl={curlOfAll(queries)}
      picture={() => pictureOfTable(table(), title, aboutOf(answer, view.value.filters))}
      sheet={sheet}
    />
  );
  return (
    <Card label="Products" title={title} isOld={isOld} tools={tools}>
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
                      {row.values[name] !== undefined ? <Value value={row.values[name]} unit={unitOf(name)} currency={currency} /> : <span class="quiet" title={asked.includes(name) ? undefined : "Not counted by product together with these filters"}>{asked.includes(name) ? "…" : "–"}</span>}
                    </td>
                  ))}
                  <td class="number quiet">{share(row, "adds_to_cart", "product_views")}</td>
                  <td class="number quiet">{share(row, "orders", "adds_to_cart")}</td>
                  <td class="number"><Delta metric={by} now={row.values[by] ?? null} before={row.previous} unit={answer.unit} /></td>
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
