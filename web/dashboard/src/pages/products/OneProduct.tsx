// One product: its own funnel, any step over time, who looks at it, its last events.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { FeedItem, Query } from "../../api/types";
import { useFeed } from "../../live/feed";
import { useAnswers } from "../../live/use";
import { BarList } from "../../parts/BarList";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { FilterBar } from "../../parts/FilterBar";
import { Funnel, FunnelTools, stepsOf } from "../../parts/Funnel";
import { useTable } from "../../parts/CopyTools";
import { Reasons } from "../../parts/Reasons";
import { canEdit, Link, NewProductLink } from "../../parts/links";
import { ListTools } from "../../parts/ListTools";
import { MetricChart } from "../../parts/MetricChart";
import { Value } from "../../parts/Value";
import { exact } from "../../show/numbers";
import { dimensionName } from "../../show/names";
import { go, interval, pageView, view } from "../../state/app";
import { canAsk, isRefused, queryOf, reasonOf } from "../../state/ask";
import { needProducts, products } from "../../state/products";
import { EventDrawer } from "../feed/EventDrawer";
import { EventRows } from "../feed/EventRows";
import { ProductMark } from "./ProductMark";

const STEPS = ["product_views", "adds_to_cart", "checkouts", "orders"];
const OTHERS = ["units", "revenue", "visitors"];
const LISTS = ["country", "source"];

export function OneProduct({ id }: { id: string }) {
  const product = products.value.get(id);
  useEffect(() => void needProducts([id]), [id]);
  const filters = { ...view.value.filters, product_id: [id] };
  const wanted = [...STEPS, ...OTHERS]
    .filter((name) => canAsk(name, ["product_id"]))
    .map((name) => queryOf(name, { filters, interval: interval.value }));
  const queries = wanted.filter((query) => !isRefused(query));
  const shown = useAnswers(queries);
  const chosen = queries.find(({ metric }) => metric === view.value.metric) ?? queries[0];
  const answers = shown.answers ?? [];
  const steps = stepsOf(answers);
  const name = product?.name || id;
  return (
    <div class="page">
      <header class="page-head">
        <ProductMark name={name} />
        <div class="row-main">
          <h1 dir="auto">{name}</h1>
          <span class="quiet" dir="auto">
            {[id, product?.category, product?.brand].filter(Boolean).join(" · ")}
            {product?.price != null && ` · ${exact(product.price, { unit: "money", currency: product.currency ?? "EUR" })}`}
            {product === null && <> · <NewProductLink id={id} /></>}
          </span>
        </div>
        <div class="row copies">
          {product && canEdit() && <EditLink id={id} />}
          <Link class="button small" to={pageView("products")}>All products</Link>
        </div>
      </header>
      <FilterBar />
      <Reasons queries={wanted} />
      <Card label="From view to order" title="From view to order" isOld={shown.isOld} tools={queries.length > 0 && <FunnelTools queries={queries} answers={shown.answers} file={`product_${id}`} />}>
        {!wanted.length ? (
          <Empty>Not counted by product together with these filters.</Empty>
        ) : shown.problem && !shown.answers ? (
          <ProblemNote problem={shown.problem} />
        ) : !shown.answers ? (
          queries.length > 0 && <Skeleton rows={3} />
        ) : (
          <Funnel steps={steps.filter(({ metric }) => STEPS.includes(metric))} {...(chosen ? { chosen: chosen.metric } : {})} choose={(metric) => go({ metric }, true)} />
        )}
        <dl class="figures">
          {steps.filter(({ metric }) => OTHERS.includes(metric)).map((step) => (
            <div key={step.metric}>
              <dt>{dimensionName(step.metric)}</dt>
              <dd><Value value={step.total} unit={step.unit} currency={step.currency} error={step.error} /></dd>
            </div>
          ))}
        </dl>
      </Card>
      {chosen && <MetricChart query={chosen} answer={answers.find(({ metric }) => metric === chosen.metric)} shown={shown} />}
      <div class="pair">
        {LISTS.map((dimension) => <ProductList key={dimension} dimension={dimension} filters={filters} />)}
      </div>
      <LastEvents id={id} />
    </div>
  );
}

function EditLink({ id }: { id: string }) {
  const target = pageView("catalog", "products");
  return <Link class="button small" to={{ ...target, more: { ...target.more, id } }}>Edit</Link>;
}

function ProductList({ dimension, filters }: { dimension: string; filters: Record<string, string[]> }) {
  const query: Query = queryOf("product_views", { filters, breakdown: [dimension], limit: 8 });
  const isAsked = canAsk("product_views", ["product_id", dimension]) && !isRefused(query);
  const shown = useAnswers(isAsked ? [query] : []);
  const answer = shown.answers?.[0];
  const asTable = useTable();
  const problem = shown.problem ?? reasonOf(query)?.problem;
  return (
    <Card title={`Views by ${dimensionName(dimension).toLowerCase()}`} label={`Views by ${dimension}`} isOld={shown.isOld} tools={<ListTools query={query} answer={answer} dimension={dimension} asTable={asTable} />}>
      {problem && !answer ? (
        <ProblemNote problem={problem} />
      ) : !isAsked ? (
        <Empty>Not counted together with these filters.</Empty>
      ) : !answer ? (
        <Skeleton rows={5} />
      ) : answer.results.length ? (
        <BarList answer={answer} dimension={dimension} asTable={asTable.value} />
      ) : (
        <Empty>Nothing in this period.</Empty>
      )}
    </Card>
  );
}

function LastEvents({ id }: { id: string }) {
  const { items, problem } = useFeed({ product: [id] }, 10);
  const opened = useSignal<FeedItem | null>(null);
  if (problem?.status === 404) return null;
  return (
    <Card title="Last events" label="Last events">
      {problem && !items ? <ProblemNote problem={problem} /> : !items ? <Skeleton rows={4} /> : items.length ? <EventRows items={items} open={(item) => (opened.value = item)} /> : <Empty>None of the newest events is about this product.</Empty>}
      {opened.value && <EventDrawer item={opened.value} close={() => (opened.value = null)} />}
    </Card>
  );
}

