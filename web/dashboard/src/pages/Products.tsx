// Products: the funnel of all, the ranking by any of its steps, what trends; and the page of one product.
import { useEffect } from "preact/hooks";
import type { Query } from "../api/types";
import { useAnswers } from "../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { FilterBar } from "../parts/FilterBar";
import { Funnel, FunnelTools, stepsOf } from "../parts/Funnel";
import { Reasons } from "../parts/Reasons";
import { Segments, Select } from "../parts/Select";
import { Value } from "../parts/Value";
import { setFilter, setMore, view } from "../state/app";
import { canAsk, isRefused, queryOf, reasonOf } from "../state/ask";
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
  const wanted = [...STEPS, "revenue"].filter((name) => canAsk(name)).map((name) => queryOf(name));
  const queries = wanted.filter((query) => !isRefused(query));
  const shown = useAnswers(queries);
  const steps = stepsOf(shown.answers ?? []);
  const revenue = steps.find(({ metric }) => metric === "revenue");
  const tools = (
    <>
      {revenue && <span class="quiet head-figure">Revenue <b><Value value={revenue.total} unit="money" currency={revenue.currency} /></b></span>}
      <FunnelTools queries={queries} answers={shown.answers} file="from-view-to-order" />
    </>
  );
  return (
    <>
      <Reasons queries={wanted} />
      <Card title="From view to order" label="From view to order" isOld={shown.isOld} tools={tools}>
        {!wanted.length ? (
          <Empty>Not counted with these filters.</Empty>
        ) : shown.problem && !shown.answers ? (
          <ProblemNote problem={shown.problem} />
        ) : !shown.answers ? (
          queries.length > 0 && <Skeleton rows={3} />
        ) : (
          <Funnel steps={steps.filter(({ metric }) => metric !== "revenue")} />
        )}
      </Card>
    </>
  );
}

/** The ranking by one metric; the other columns are asked for just these products. */
function Popular() {
  const by = sortOf();
  const query = queryOf(by, { breakdown: ["product_id"], limit: ROWS });
  const isAsked = canAsk(by, ["product_id"]) && !isRefused(query);
  const ranking = useAnswers(isAsked ? [query] : []);
  const answer = ranking.answers?.[0];
  const ids = (answer?.results ?? []).map((row) => row.dimensions.product_id ?? "").filter((id) => id && id !== "(other)");
  const others: Query[] = ids.length
    ? COLUMNS.filter((name) => name !== by && canAsk(name, ["product_id"]))
        .map((name) => queryOf(name, { breakdown: ["product_id"], limit: ROWS, filters: { ...view.value.filters, product_id: [...ids].sort() }, compare: "" }))
        .filter((query) => !isRefused(query))
    : [];
  const rest = useAnswers(others);
  useEffect(() => void needProducts(ids), [ids.join("\n")]);
  const reason = reasonOf(query);
  if (reason?.lost === "all") return <Card><ProblemNote problem={reason.problem} /></Card>;
  if (!isAsked) return <Card><Empty>Not counted by product together with these filters.</Empty></Card>;
  if (ranking.problem && !answer) return <Card><ProblemNote problem={ranking.problem} /></Card>;
  if (!answer) return <Card><Skeleton rows={10} /></Card>;
  const rows: ProductNumbers[] = ids.map((id) => {
    const own = answer.results.find((row) => row.dimensions.product_id === id);
    const values = Object.fromEntries((rest.answers ?? []).map((one) => [one.metric, one.results.find((row) => row.dimensions.product_id === id)?.total ?? 0]));
    return { id, values: { ...values, [by]: own?.total ?? null }, previous: own?.previous ?? null };
  });
  return <ProductTable rows={rows} by={by} queries={[query, ...others]} answer={answer} isOld={ranking.isOld} currency={(rest.answers ?? []).find(({ metric }) => metric === "revenue")?.currency ?? answer.currency ?? "EUR"} />;
}
