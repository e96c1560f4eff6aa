// How the platform is: its servers, how far each partition is counted, what this page knows of its own connection.
import { asOf, build, clockOffset, connection } from "../../live/board";
import { useLoad } from "../../live/use";
import { Card, ProblemNote, Skeleton } from "../../parts/Card";
import { Table } from "../../parts/Table";
import { plural } from "../../show/numbers";
import { ago, timeOfDay } from "../../show/times";
import { zone } from "../../state/app";

interface Readiness {
  status: string;
  missing: string[];
  degraded: string[];
  servers: Record<string, string>;
  freshness: { partitions: { shard: number; topic_id: string; partition: number; lag: number; advanced_s_ago: number }[] };
}

const GOOD = ["answers", "ready"];
const STOPPED_S = 10;

export function Health() {
  const { body, problem, reload } = useLoad<Readiness>("/health/ready", 5_000);
  if (problem && !body) return <Card><ProblemNote problem={problem} onRetry={reload} /></Card>;
  if (!body) return <Card><Skeleton rows={6} /></Card>;
  const partitions = body.freshness?.partitions ?? [];
  const behind = partitions.filter(({ lag }) => lag > 0);
  const stopped = behind.filter(({ advanced_s_ago }) => advanced_s_ago > STOPPED_S);
  const rows = [...partitions].sort((a, b) => b.lag - a.lag || a.topic_id.localeCompare(b.topic_id) || a.partition - b.partition || a.shard - b.shard).slice(0, 48);
  return (
    <>
      <div class="pair">
        <Card title="Servers" label="Servers">
          <ul class="rows">
            {Object.entries(body.servers).map(([name, state]) => (
              <li class="state-row" key={name}>
                <span class={`dot-state ${GOOD.includes(state) ? "live" : "offline"}`} />
                <span class="row-name">{name}</span>
                <span class={GOOD.includes(state) ? "quiet" : "wrong"}>{state}</span>
              </li>
            ))}
          </ul>
          <p class="quiet note">{body.missing.length ? `Missing: ${body.missing.join(", ")}. ` : ""}{body.degraded.length ? `Degraded: ${body.degraded.join(", ")}.` : "Nothing is degraded."}</p>
        </Card>
        <Card title="This page" label="This page">
          <dl class="facts">
            <div><dt>Connection</dt><dd>{connection.value === "live" ? "one WebSocket" : connection.value === "polling" ? "asks every 5 seconds" : connection.value}</dd></div>
            <div><dt>Numbers</dt><dd>{asOf.value ? `as of ${timeOfDay(asOf.value, zone.value, true)} (${zone.value})` : "none are shown on this page"}</dd></div>
            <div><dt>Clock</dt><dd>{Math.abs(clockOffset.value) < 2_000 ? "this browser's clock is right" : `this browser's clock is ${Math.round(Math.abs(clockOffset.value) / 1000)} s ${clockOffset.value > 0 ? "behind" : "ahead"}; ages are by the server's`}</dd></div>
            {build.value && <div><dt>Build</dt><dd><code>{build.value}</code></dd></div>}
          </dl>
        </Card>
      </div>
      <Card title={stopped.length ? `${plural(stopped.length, "partition")} stopped` : behind.length ? `${plural(behind.length, "partition")} catching up` : "Every partition is counted up to now"} label="Partitions">
        <Table label="Partitions" columns={["Topic id", "#Partition", "#Shard", "#Not counted yet", "#Last advance"]}>
          {rows.map((row) => (
            <tr key={`${row.topic_id} ${row.partition} ${row.shard}`}>
              <td class="mono" title={row.topic_id}>{row.topic_id.slice(0, 8)}</td>
              <td class="number">{row.partition}</td>
              <td class="number">{row.shard}</td>
              <td class={`number ${row.lag > 0 && row.advanced_s_ago > STOPPED_S ? "wrong" : ""}`}>{row.lag.toLocaleString("en")}</td>
              <td class="number quiet">{ago(row.advanced_s_ago * 1_000)}</td>
            </tr>
          ))}
        </Table>
      </Card>
    </>
  );
}
