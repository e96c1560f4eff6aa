// What rises: views weighted by their age, beside the same span before.
import { useEffect } from "preact/hooks";
import type { ProductRow } from "../../api/types";
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { Delta, Value } from "../../parts/Value";
import { CopyTools } from "../../parts/CopyTools";
import { type Cell, curlOfPath, fileName, type Sheet } from "../../show/files";
import { compact, exact } from "../../show/numbers";
import { type PictureTable, pictureOfTable } from "../../show/picture-rows";
import { span } from "../../show/times";
import { view } from "../../state/app";
import { needProducts } from "../../state/products";
import { ProductCell } from "./ProductTable";

const TITLE = "Trending in the last 24 hours, by views";

interface TrendingAnswer {
  from: string;
  to: string;
  results: ProductRow[];
  half_life_seconds: number;
}

export function Trending() {
  const category = view.value.filters.product_category?.[0];
  const path = `/v1/products/trending?by=views&window=24h&limit=30${category ? `&category=${encodeURIComponent(category)}` : ""}`;
  const { body, problem, isOld } = useLoad<TrendingAnswer>(path, 10_000);
  const ids = (body?.results ?? []).map(({ product_id }) => product_id);
  useEffect(() => void needProducts(ids), [ids.join("\n")]);
  const results = body?.results.length ? body.results : undefined;
  const tools = (
    <CopyTools
      file={fileName("trending-products", category)}
      curl={curlOfPath(path)}
      picture={results && (() => pictureOfTable(pictureTableOf(results), TITLE, [category, body?.from && body.to && span(body.from, body.to)].filter(Boolean).join(" · ")))}
      sheet={results && (() => sheetOfTrending(results))}
    />
  );
  return (
    <Card label="Trending products" title={TITLE} isOld={isOld} tools={tools}>
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
                  <td class="quiet nowrap">{reason(row)}</td>
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

const sheetOfTrending = (results: ProductRow[]): Sheet => ({
  head: ["product_id", "name", "score", "views", "before"],
  rows: results.map(({ product_id, name, score, value, previous }): Cell[] => [product_id, name, score, value, previous]),
});

const pictureTableOf = (results: ProductRow[]): PictureTable => ({
  columns: ["Product", "Score", "Views", "Before"],
  rows: results.map(({ product_id, name, score, value, previous }) => {
    const counts = [value, previous ?? null].map((count) => exact(count, { unit: "count" }));
    return { cells: [name ?? product_id, compact(Math.round(score ?? 0)), ...counts] };
  }),
});
