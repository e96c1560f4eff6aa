// What rises: views weighted by their age, beside the same span before.
import { useEffect } from "preact/hooks";
import type { ProductRow } from "../../api/types";
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { Delta, Value } from "../../parts/Value";
import { compact } from "../../show/numbers";
import { view } from "../../state/app";
import { needProducts } from "../../state/products";
import { ProductCell } from "./ProductTable";

interface TrendingAnswer {
  results: ProductRow[];
  half_life_seconds: number;
}

export function Trending() {
  const category = view.value.filters.product_category?.[0];
  const path = `/v1/products/trending?by=views&window=24h&limit=30${category ? `&category=${encodeURIComponent(category)}` : ""}`;
  const { body, problem, isOld } = useLoad<TrendingAnswer>(path, 10_000);
  const ids = (body?.results ?? []).map(({ product_id }) => product_id);
  useEffect(() => void needProducts(ids), [ids.join("\n")]);
  return (
    <Card label="Trending products" title="Trending in the last 24 hours, by views" isOld={isOld}>
      {problem && !body ? (
        <ProblemNote problem={problem} />
      ) : !body ? (
        <Skeleton rows={10} />
      ) : !body.results.length ? (
        <Empty>No product was viewed in the last 24 hours.</Empty>
      ) : (
        <div class="table-box" tabIndex={0} role="region" aria-label="Trending products">
          <table class="products">
            <thead>
              <tr>
                <th scope="col" class="number rank">#</th>
                <th scope="col">Product</th>
                <th scope="col" class="number" title={`A view counts half after ${body.half_life_seconds / 3600} hours`}>Score ↓</th>
                <th scope="col" class="number">Views</th>
                <th scope="col" class="number">Before</th>
                <th scope="col" class="number">Change</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {body.results.map((row, index) => (
                <tr key={row.product_id}>
                  <td class="number quiet rank">{index + 1}</td>
                  <th scope="row"><ProductCell id={row.product_id} /></th>
                  <td class="number strong">{compact(Math.round(row.score ?? 0))}</td>
                  <td class="number"><Value value={row.value} unit="count" isExact /></td>
                  <td class="number quiet"><Value value={row.previous} unit="count" isExact /></td>
                  <td class="number"><Delta metric="product_views" now={row.value} before={row.previous} unit="count" /></td>
                  <td class="quiet">{reason(row)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  );
}

function reason({ value, previous }: ProductRow): string {
  if (!previous) return "no views on the day before";
  const times = (value ?? 0) / previous;
  return times >= 1 ? `${times.toFixed(1)} × the views of the day before` : "many views, though fewer than the day before";
}
