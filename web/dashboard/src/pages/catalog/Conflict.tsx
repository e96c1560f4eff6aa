// Somebody changed it meanwhile: both versions side by side, field by field. Where only one side changed, it is chosen.
import { useSignal } from "@preact/signals";
import { Table } from "../../parts/Table";
import { type Draft, draftOf, type Entity, type Kind } from "./kinds";

interface ConflictProps {
  kind: Kind;
  base: Entity | null;
  theirs: Entity;
  draft: Draft;
  onChoose: (draft: Draft) => void;
  onDrop: () => void;
}

export function Conflict({ kind, base, theirs, draft, onChoose, onDrop }: ConflictProps) {
  const old = draftOf(kind, base);
  const other = draftOf(kind, theirs);
  const different = kind.fields.filter(({ name }) => draft[name] !== other[name]);
  const isMine = useSignal(new Set(different.filter(({ name }) => draft[name] !== old[name]).map(({ name }) => name)));
  const choose = (name: string, mine: boolean): void => {
    const next = new Set(isMine.value);
    if (mine) next.add(name);
    else next.delete(name);
    isMine.value = next;
  };
  const chosen = (): Draft => Object.fromEntries(kind.fields.map(({ name }) => [name, (isMine.value.has(name) ? draft : other)[name] ?? ""]));
  return (
    <div class="form">
      <p class="problem">Somebody changed this {kind.name} after you had opened it. Choose for each field which version stays.</p>
      <Table label="Both versions" class="conflict" columns={["Field", "Yours", "Theirs"]}>
        {different.map(({ name, label }) => (
          <tr key={name}>
            <th scope="row">{label}</th>
            {[true, false].map((mine) => (
              <td key={String(mine)}>
                <label>
                  <input type="radio" name={name} checked={isMine.value.has(name) === mine} onChange={() => choose(name, mine)} />
                  <span class="mono" dir="auto">{(mine ? draft : other)[name] || "–"}</span>
                </label>
              </td>
            ))}
          </tr>
        ))}
      </Table>
      <div class="row">
        <button type="button" class="button primary" onClick={() => onChoose(chosen())}>Save these</button>
        <button type="button" class="button" onClick={onDrop}>Drop my changes</button>
      </div>
    </div>
  );
}
