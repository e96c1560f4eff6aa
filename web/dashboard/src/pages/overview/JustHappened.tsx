// The newest orders, refunds and sign-ups. A row opens the feed.
import { type FeedFilter, recentPath, useFeed } from "../../live/feed";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { CopyCurl } from "../../parts/CopyTools";
import { useNow } from "../../parts/LiveDot";
import { Link } from "../../parts/Shell";
import { serverNow } from "../../live/board";
import { curlOfPath } from "../../show/files";
import { aboutOf, amountOf, eventName, personOf } from "../../show/events";
import { ago } from "../../show/times";
import { hidesMoney, pageView } from "../../state/app";

const EVENTS: FeedFilter = { event: ["Order Completed", "Order Refunded", "Order Cancelled", "Signed Up"] };
const ROWS = 5;

export function JustHappened() {
  const { items, problem } = useFeed(EVENTS, ROWS);
  const now = useNow(1_000);
  const shown = items?.filter(({ status }) => status === "counted").slice(0, ROWS) ?? [];
  if (problem?.status === 404) return null;
  return (
    <Card title="Just happened" label="Just happened" tools={<CopyCurl curl={curlOfPath(recentPath(EVENTS, ROWS))} of="Just happened" />}>
      {problem && !items ? (
        <ProblemNote problem={problem} />
      ) : !items ? (
        <Skeleton rows={ROWS} />
      ) : !shown.length ? (
        <Empty>No order, refund or sign-up among the last events.</Empty>
      ) : (
        <ol class="rows" data-now={now.value}>
          {shown.map((item) => (
            <li key={item.id}>
              <Link class="row-link" to={{ ...pageView("feed"), filters: { event: [item.event ?? ""] } }}>
                <span class="row-main">
                  <span class="row-name">{eventName(item)}</span>
                  <span class="quiet" dir="auto">{[personOf(item), aboutOf(item)].filter(Boolean).join(" · ")}</span>
                </span>
                <span class="row-value">
                  {hidesMoney.value ? "" : amountOf(item)}
                  <br />
                  <span class="quiet">{ago(serverNow() - Date.parse(item.received_at ?? ""))}</span>
                </span>
              </Link>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
