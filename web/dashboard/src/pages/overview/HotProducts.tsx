// What rises now: the top five of /v1/products/trending, read again every ten seconds.
import type { ProductRow } from "../../api/types";
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { CopyCurl } from "../../parts/CopyTools";
import { Link } from "../../parts/Shell";
import { Delta, Value } from "../../parts/Value";
import { curlOfPath } from "../../show/files";
import { pageView } from "../../state/app";
import { ProductMark } from "../products/ProductMark";

const PATH = "/v1/products/trending?by=views&window=24h&limit=5";

export function HotProducts() {
  const { body, problem } = useLoad<{ results: ProductRow[] }>(PATH, 10_000);
  return (
    <Card title="Hot products" label="Hot products" tools={<CopyCurl curl={curlOfPath(PATH)} of="Hot products" />}>
      {problem && !body ? (
        <ProblemNote problem={problem} />
      ) : !body ? (
        <Skeleton rows={5} />
      ) : !body.results.length ? (
        <Empty>No product was viewed in the last 24 hours.</Empty>
      ) : (
        <ol class="rows">
          {body.results.map((row) => (
            <li key={row.product_id}>
              <Link class="row-link" to={pageView("products", row.product_id)}>
                <ProductMark name={row.name ?? row.product_id} />
                <span class="row-main">
                  <span class="row-name" dir="auto">
                    {row.name ?? row.product_id}
                  </span>
                  <span class="quiet" dir="auto">{row.category ?? "not in the catalog"}</span>
                </span>
                <Delta metric="product_views" now={row.value} before={row.previous} unit="count" />
                <span class="row-value">
                  <Value value={row.value} unit="count" /> <span class="quiet">views</span>
                </span>
              </Link>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
