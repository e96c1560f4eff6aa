// Letters by reason, of the whole period, as bars: a click shows only these; all of a reason are replayed here.
import { Card } from "../../parts/Card";
import { CopyTools, useTable } from "../../parts/CopyTools";
import { Table } from "../../parts/Table";
import { curlOfPath, fileName, type Sheet } from "../../show/files";
import { pictureOfBars } from "../../show/picture-rows";
import { words } from "../../show/replays";
import { moment } from "../../show/times";
import { setMore, zone } from "../../state/app";
import type { Replayer } from "./LetterReplay";

interface LetterReasonsProps {
  kind: string;
  from: string;
  to: string;
  counts: Record<string, number>;
  chosen: string;
  /** Null where there is nothing to replay. */
  replayer: Replayer | null;
}

export function LetterReasons({ kind, from, to, counts, chosen, replayer }: LetterReasonsProps) {
  const rows = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const most = Math.max(...rows.map(([, count]) => count), 1);
  const asTable = useTable();
  if (!rows.length) return null;
  const title = kind === "dead" ? "Dead letters by reason" : "Refused events by reason";
  const parameters = new URLSearchParams({ kind, from, ...(to ? { to } : {}) });
  const bars = rows.map(([reason, count]) => ({ name: words(reason), value: count.toLocaleString("en"), share: count / most }));
  const about = `${inWords(from)} – ${to ? inWords(to) : "now"}`;
  const tools = (
    <CopyTools
      file={fileName(kind === "dead" ? "dead-letters" : "refused-events", from, to)}
      curl={curlOfPath(`/v1/dead-letters?${parameters}`)}
      asTable={asTable}
      picture={() => pictureOfBars(bars, title, about)}
      sheet={() => sheetOfReasons(rows)}
    />
  );
  return (
    <Card title="By reason" label="By reason" tools={tools}>
      {asTable.value ? (
        <Table label={title} columns={["Reason", "#Letters"]}>
          {rows.map(([reason, count]) => (
            <tr key={reason}>
              <th scope="row">{words(reason)}</th>
              <td class="number">{count.toLocaleString("en")}</td>
            </tr>
          ))}
        </Table>
      ) : (
        <ol class="bars">
          {rows.map(([reason, count]) => (
            <li key={reason} class="bar-line">
              <button type="button" class="bar-row" aria-pressed={reason === chosen} onClick={() => setMore({ reason: reason === chosen ? "" : reason })}>
                <span class="bar-fill" style={{ width: `${Math.max(1, (count / most) * 100)}%` }} />
                <span class="bar-name">{words(reason)}</span>
                <span class="value">{count.toLocaleString("en")}</span>
              </button>
              {replayer && (
                <button type="button" class="button small" aria-label={`Replay all: ${words(reason)}`} disabled={replayer.isBusy.value} onClick={() => replayer.replayAll(reason)}>Replay all</button>
              )}
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

/** A time of the period: a moment, or relative as `-24h`. */
const inWords = (time: string): string => (/^\d{4}-/.test(time) ? moment(time, zone.value) : time);

const sheetOfReasons = (rows: [string, number][]): Sheet => ({ head: ["reason", "letters"], rows });
