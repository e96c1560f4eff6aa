// Import of CSV or NDJSON: the first rows to look at, then what became of the lines; the failed ones as CSV.
import { useSignal } from "@preact/signals";
import { asProblem, send } from "../../api/client";
import type { Problem } from "../../api/types";
import { ProblemNote } from "../../parts/Card";
import { Dialog } from "../../parts/Dialog";
import { csvOf, save } from "../../show/files";
import { plural } from "../../show/numbers";
import type { Kind } from "./kinds";

interface RowError {
  row: number;
  id: string | null;
  field: string | null;
  detail: string;
  value: string | null;
}

interface ImportResult {
  created: number;
  updated: number;
  unchanged: number;
  failed: number;
  errors: RowError[];
}

const PREVIEW_BYTES = 64_000;
const PREVIEW_ROWS = 5;

export function ImportDialog({ kind, onClose }: { kind: Kind; onClose: (changed: boolean) => void }) {
  const file = useSignal<File | null>(null);
  const rows = useSignal<string[]>([]);
  const result = useSignal<ImportResult | null>(null);
  const problem = useSignal<Problem | null>(null);
  const isBusy = useSignal(false);
  const take = async (chosen: File | undefined): Promise<void> => {
    if (!chosen) return;
    file.value = chosen;
    result.value = null;
    problem.value = null;
    rows.value = (await chosen.slice(0, PREVIEW_BYTES).text()).split(/\r?\n/).filter(Boolean).slice(0, PREVIEW_ROWS + 1);
  };
  const run = async (): Promise<void> => {
    if (!file.value) return;
    isBusy.value = true;
    try {
      const isJson = /\.(nd)?jsonl?$/i.test(file.value.name) || (rows.value[0] ?? "").startsWith("{");
      const headers = { "content-type": isJson ? "application/x-ndjson" : "text/csv" };
      result.value = (await send<ImportResult>("POST", `/v1/${kind.plural}/import`, await file.value.text(), headers)).body;
    } catch (error) {
      problem.value = asProblem(error);
    }
    isBusy.value = false;
  };
  const done = result.value;
  return (
    <Dialog title={`Import ${kind.plural}`} onClose={() => onClose(done !== null)}>
      <p class="quiet">CSV with a header that has <code>id</code> and fields, or NDJSON with one object a line. Only the fields that a line has are changed. The same file again changes nothing.</p>
      <label
        class="drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          void take(event.dataTransfer?.files[0]);
        }}
      >
        <input type="file" accept=".csv,.ndjson,.jsonl,.json,text/csv" onChange={(event) => void take(event.currentTarget.files?.[0])} />
        <span>{file.value ? `${file.value.name}, ${plural(file.value.size, "byte")}` : "Drop a file here, or choose one"}</span>
      </label>
      {rows.value.length > 0 && !done && <pre class="raw" tabIndex={0}>{rows.value.join("\n")}</pre>}
      {problem.value && <ProblemNote problem={problem.value} onRetry={() => void run()} />}
      {done && (
        <div role="status">
          <p>{plural(done.created, `${kind.name}`)} created, {done.updated} changed, {done.unchanged} as before, <strong>{done.failed} failed</strong>.</p>
          {done.errors.length > 0 && (
            <>
              <ul class="marks">
                {done.errors.slice(0, 10).map((error) => <li key={`${error.row} ${error.field}`}>Row {error.row}{error.field ? `, ${error.field}` : ""}: {error.detail}</li>)}
              </ul>
              <button type="button" class="button small" onClick={() => save(`failed-${kind.plural}.csv`, csvOf([["row", "id", "field", "detail", "value"], ...done.errors.map(({ row, id, field, detail, value }) => [row, id, field, detail, value])]))}>Save the failed rows as CSV</button>
            </>
          )}
        </div>
      )}
      <div class="row">
        {!done && <button type="button" class="button primary" disabled={!file.value || isBusy.value} onClick={() => void run()}>{isBusy.value ? "Importing …" : "Import"}</button>}
        <button type="button" class="button" onClick={() => onClose(done !== null)}>{done ? "Done" : "Cancel"}</button>
      </div>
    </Dialog>
  );
}
