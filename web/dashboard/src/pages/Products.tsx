// Products: the funnel of all, the ranking by any of its steps, what trends; and the page of one product.
import { useEffect } from "preact/hooks";
import type { Query } from "../api/types";
import { useAnswers } from "../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { FilterBar } from "../parts/FilterBar";
import { Funnel } from "../parts/Funnel";
import { Segments, Select } from "../parts/Select";
import { Value } from "../parts/Value";
import { setFilter, setMore, view } from "../state/app";
import { canAsk, isRefused, queryOf } from "../state/ask";
import { needProducts, products } from "../state/products";
import { OneProduct } from "./products/OneProduct";
import { ProductTable, type ProductNumbers } from "./products/ProductTable";
import { Trending } from "./products/Trending";

const STEPS = ["product_views", "adds_to_cart", "checkouts", "orders"];
const COLUMNS = ["product_views", "adds_to_cart", "orders", "units", "revenue", "visitors"];
const ROWS = 30;
const BY: [string, string][] = [["product_views", "views"], ["adds_to_cart", "carts"], ["orders", "orders"], ["units", "units"], ["revenue", "revenue"], ["visitors", "visitors"]];

export default function Products() {
  if (view.value.sub) return <OneProduct id={view.value.sub} key={view.value.sub} />;
  const tab = view.value.more.tab === "trending" ? "trending" : "popular";
  return (
    <div class="page">
      <h1 class="hidden">Products</h1>
      <FilterBar />
      <TotalFunnel />
      <div class="row">
        <Segments label="Which products" value={tab} options={[["popular", "Popular"], ["trending", "Trending"]]} choose={(next) => setMore({ tab: next === "popular" ? "" : next })} />
        {tab === "popular" && <Select label="Sorted by" isLabelHidden value={sortOf()} options={BY.map(([value, name]) => ({ value, name: `by ${name}` }))} choose={(by) => setMore({ by: by === "product_views" ? "" : by })} />}
        <CategorySelect />
      </div>
      {tab === "popular" ? <Popular /> : <Trending />}
    </div>
  );
}

const sortOf = (): string => (COLUMNS.includes(view.value.more.by ?? "") ? (view.value.more.by as string) : "product_views");

function CategorySelect() {
  const known = [...new Set([...products.value.values()].map((product) => product?.category ?? "").filter(Boolean))].sort();
  if (!known.length) return null;
  const chosen = view.value.filters.product_category?.[0] ?? "";
  const options = [{ value: "", name: "All categories" }, ...known.map((name) => ({ value: name, name }))];
  return <Select label="Category" isLabelHidden value={chosen} options={options} choose={(name) => setFilter("product_category", name ? [name] : [])} />;
}

function TotalFunnel() {
  const queries = [...STEPS, "revenue"].filter((name) => canAsk(name)).map((name) => queryOf(name)).filter((query) => !isRefused(query));
  const shown = useAnswers(queries);
  const steps = (shown.answers ?? []).map((answer) => ({
    metric: answer.metric, unit: answer.unit, currency: answer.currency ?? "", error: answer.meta.error,
    total: answer.results[0]?.total ?? null, previous: answer.results[0]?.previous ?? null,
  }));
  const revenue = steps.find(({ metric }) => metric === "revenue");
  return (
    <Card title="From view to order" label="From view to order" isOld={shown.isOld} tools={revenue && <span class="quiet">Revenue <b><Value value={revenue.total} unit="money" currency={revenue.currency} /></b></span>}>
      {shown.problem && !shown.answers ? <ProblemNote problem={shown.problem} /> : !shown.answers ? <Skeleton rows={3} /> : <Funnel steps={steps.filter(({ metric }) => metric !== "revenue")} />}
    </Card>
  );
}

/** The ranking by one metric; the other columns are asked for just these products. */
function Popular() {
  const by = sortOf();
  const ranking = useAnswers(canAsk(by, ["product_id"]) ? [queryOf(by, { breakdown: ["product_id"], limit: ROWS })] : []);
  const answer = ranking.answers?.[0];
  const ids = (answer?.results ?? []).map((row) => row.dimensions.product_id ?? "").filter((id) => id && id !== "(other)");
  const others: Query[] = ids.length
    ? COLUMNS.filter((name) => name !== by && canAsk(name, ["product_id"]))
        .map((name) => queryOf(name, { breakdown: ["product_id"], limit: ROWS, filters: { ...view.value.filters, product_id: [...ids].sort() }, compare: "" }))
        .filter((query) => !isRefused(query))
    : [];
  const rest = useAnswers(others);
  useEffect(() => void needProducts(ids), [ids.join("\n")]);
  if (!canAsk(by, ["product_id"])) return <Card><Empty>Not counted by product together with these filters.</Empty></Card>;
  if (ranking.problem && !answer) return <Card><ProblemNote problem={ranking.problem} /></Card>;
  if (!answer) return <Card><Skeleton rows={10} /></Card>;
  const rows: ProductNumbers[] = ids.map((id) => {
    const own = answer.results.find((row) => row.dimensions.product_id === id);
    const values = Object.fromEntries((rest.answers ?? []).map((one) => [one.metric, one.results.find((row) => row.dimensions.product_id === id)?.total ?? 0]));
    return { id, values: { ...values, [by]: own?.total ?? null }, previous: own?.previous ?? null };
  });
  return <ProductTable rows={rows} by={by} isOld={ranking.isOld} currency={(rest.answers ?? []).find(({ metric }) => metric === "revenue")?.currency ?? answer.currency ?? "EUR"} unit={answer.unit} />;
}
