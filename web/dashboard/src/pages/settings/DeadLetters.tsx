// What could not be counted, and what the collector refused: by reason, with the remedy and the raw text. What could not
// be counted is replayed here, after its cause is mended.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { asProblem, get } from "../../api/client";
import type { Problem } from "../../api/types";
import { useLoad } from "../../live/use";
import { Card, Empty, ProblemNote, Skeleton } from "../../parts/Card";
import { Dialog } from "../../parts/Dialog";
import { Segments } from "../../parts/Select";
import { Table } from "../../parts/Table";
import { copy } from "../../show/files";
import { indentJson } from "../../show/raw";
import { words } from "../../show/replays";
import { moment } from "../../show/times";
import { period, setMore, view, zone } from "../../state/app";
import { LetterReasons } from "./LetterReasons";
import { type Replayer, ReplayOutcome, useReplayer } from "./LetterReplay";

interface Letter {
  id: string;
  kind: string;
  reason: string;
  detail: string;
  field: string | null;
  hint: string | null;
  written_at: string | null;
  received_at: string | null;
  event: string | null;
  source: string | null;
  persons: Record<string, string>;
  raw: string;
  is_raw_cut: boolean;
}

interface LetterPage {
  items: Letter[];
  counts: Record<string, number>;
  next_cursor: string | null;
  meta: { scanned_from: string | null };
}

const KINDS: [string, string][] = [["dead", "Dead letters"], ["rejected", "Refused by the collector"]];
const ASK_MS = 10_000;

export function DeadLetters() {
  const kind = view.value.more.kind === "rejected" ? "rejected" : "dead";
  const reason = view.value.more.reason ?? "";
  const { from, to = "" } = period.value;
  const parameters = new URLSearchParams({ kind, from, ...(to ? { to } : {}), ...(reason ? { reason } : {}) });
  const path = `/v1/dead-letters?${parameters}`;
  const { body, problem, isOld, reload } = useLoad<LetterPage>(path, ASK_MS);
  const older = useSignal<{ path: string; items: Letter[]; next: string | null; problem: Problem | null }>({ path, items: [], next: null, problem: null });
  const opened = useSignal<Letter | null>(null);
  const replayer = useReplayer();
  useEffect(() => {
    older.value = { path, items: [], next: null, problem: null };
  }, [path]);
  const more = async (cursor: string): Promise<void> => {
    try {
      const page = await get<LetterPage>(`${path}&cursor=${encodeURIComponent(cursor)}`);
      older.value = { path, items: [...older.peek().items, ...page.items], next: page.next_cursor, problem: null };
    } catch (error) {
      older.value = { ...older.peek(), problem: asProblem(error) };
    }
  };
  const next = older.value.items.length ? older.value.next : (body?.next_cursor ?? null);
  const known = new Set(body?.items.map(({ id }) => id));
  const items = [...(body?.items ?? []), ...older.value.items.filter(({ id }) => !known.has(id))];
  return (
    <>
      <div class="row">
        <Segments label="Which" value={kind} options={KINDS} choose={(name) => setMore({ kind: name === "dead" ? "" : name, reason: "" })} />
        <span class="quiet">{body?.meta.scanned_from ? `looked at what was written from ${moment(body.meta.scanned_from, zone.value)} on` : ""}</span>
      </div>
      {problem && !body && <ProblemNote problem={problem} onRetry={reload} />}
      {!problem && !body && <Card><Skeleton rows={8} /></Card>}
      {body && <LetterReasons kind={kind} from={from} to={to} counts={body.counts} chosen={reason} replayer={kind === "dead" ? replayer : null} />}
      {replayer.isBusy.value && !opened.value && <p class="quiet" role="status">Replaying…</p>}
      {replayer.last.value && !opened.value && (
        <Card title={replayer.last.value.title} label="Replay" tools={<button type="button" class="button small" onClick={replayer.forget}>Done</button>}>
          <ReplayOutcome replay={replayer.last.value} />
        </Card>
      )}
      {body && (
        <Card label="Letters" title={reason ? `Letters: ${words(reason)}` : "Letters, newest first"} isOld={isOld}>
          {!items.length ? (
            <Empty>{kind === "dead" ? "No record of this period was set aside." : "The collector refused nothing in this period."}</Empty>
          ) : (
            <LetterTable items={items} open={(letter) => (opened.value = letter)} />
          )}
          {older.value.problem && <ProblemNote problem={older.value.problem} />}
          {next && <button type="button" class="button small load-more" onClick={() => void more(next)}>Show older ones</button>}
        </Card>
      )}
      {opened.value && <LetterDrawer letter={opened.value} replayer={replayer} close={() => (opened.value = null)} />}
    </>
  );
}

function LetterTable({ items, open }: { items: Letter[]; open: (letter: Letter) => void }) {
  return (
    <Table label="Letters" class="events" columns={["Written", "Reason", "Detail", "Event", "Person"]}>
      {items.map((letter) => (
        <tr key={letter.id} onClick={() => open(letter)}>
          <td class="nowrap">{moment(letter.written_at, zone.value, true)}</td>
          <td class="nowrap">
            <button type="button" class="cell-link" onClick={() => open(letter)}>{words(letter.reason)}</button>
          </td>
          <td class="cut wide" dir="auto">{letter.detail}</td>
          <td class="cut" dir="auto">{letter.event ?? "–"}</td>
          <td class="cut" dir="auto">{letter.persons.user_id ?? letter.persons.anonymous_id ?? "–"}</td>
        </tr>
      ))}
    </Table>
  );
}

function LetterDrawer({ letter, replayer, close }: { letter: Letter; replayer: Replayer; close: () => void }) {
  const last = replayer.last.value;
  return (
    <Dialog title={words(letter.reason)} kind="drawer" onClose={close}>
      <div class="problem">
        <strong dir="auto">{letter.detail}</strong>
        {letter.field && <p>Field: <code>{letter.field}</code></p>}
        {letter.hint && <p>{letter.hint}</p>}
      </div>
      <dl class="facts">
        <div><dt>Written</dt><dd>{moment(letter.written_at, zone.value, true)}</dd></div>
        {letter.received_at && <div><dt>Arrived</dt><dd>{moment(letter.received_at, zone.value, true)}</dd></div>}
        {letter.source && <div><dt>Source</dt><dd>{letter.source}</dd></div>}
        <div><dt>id</dt><dd><code>{letter.id}</code></dd></div>
      </dl>
      {letter.kind === "dead" ? (
        <div class="row">
          <button type="button" class="button small" disabled={replayer.isBusy.value} onClick={() => replayer.replayOne(letter.id)}>
            {replayer.isBusy.value ? "Replaying…" : "Replay"}
          </button>
          <span class="quiet">Mend the cause first. The letter counts at most once, however often it is replayed.</span>
        </div>
      ) : (
        <p class="quiet">A refused event is not replayed, since only its beginning is kept. Its sender sends it again.</p>
      )}
      {last?.subject === letter.id && <ReplayOutcome replay={last} />}
      <div class="row">
        <h3>As it was sent{letter.is_raw_cut ? ", cut" : ""}</h3>
        <button type="button" class="button small" onClick={() => void copy(letter.raw, "The record is")}>Copy</button>
      </div>
      <pre class="raw" tabIndex={0}>{indentJson(letter.raw)}</pre>
    </Dialog>
  );
}
