// The form of a user or product. A problem marks its field and says the remedy.
import type { Problem } from "../../api/types";
import type { Draft, FieldInfo, Kind } from "./kinds";

interface EntityFormProps {
  kind: Kind;
  draft: Draft;
  /** null: the entity exists, and its id stays. */
  newId: string | null;
  problem: Problem | null;
  isLocked: boolean;
  isBusy: boolean;
  isDirty: boolean;
  setId: (id: string) => void;
  setField: (name: string, text: string) => void;
  submit: () => void;
  openExisting: () => void;
}

export function EntityForm(props: EntityFormProps) {
  const { kind, draft, newId, problem, isLocked, setField } = props;
  const place = (problem?.field ?? "").split(/[.[]/)[0];
  const isPlaced = kind.fields.some(({ name }) => name === place) || (place === "id" && newId !== null);
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        props.submit();
      }}
    >
      {newId !== null && (
        <label class="field">
          <span>Id, as events name it</span>
          <input value={newId} required autoFocus spellcheck={false} aria-invalid={place === "id"} onInput={(event) => props.setId(event.currentTarget.value)} />
          {place === "id" && <Wrong problem={problem} />}
        </label>
      )}
      {kind.fields.map((field) => (
        <label class="field" key={field.name} for={`field-${field.name}`}>
          <span>{field.label}</span>
          <Input field={field} text={draft[field.name] ?? ""} isLocked={isLocked} isWrong={place === field.name} set={(text) => setField(field.name, text)} />
          {field.hint && place !== field.name && <small class="quiet">{field.hint}</small>}
          {place === field.name && <Wrong problem={problem} />}
        </label>
      ))}
      <div role="alert">
        {problem && !isPlaced && <Wrong problem={problem} />}
        {problem?.status === 409 && newId !== null && (
          <button type="button" class="button small" onClick={props.openExisting}>Open the one that exists</button>
        )}
      </div>
      {!isLocked && (
        <button type="submit" class="button primary" disabled={props.isBusy || !props.isDirty}>
          {newId === null ? "Save" : `Create the ${kind.name}`}
        </button>
      )}
    </form>
  );
}

const Wrong = ({ problem }: { problem: Problem | null }) => (
  <p class="wrong">
    {problem?.detail} {problem?.hint && problem.hint !== problem.detail ? problem.hint : ""}
  </p>
);

interface InputProps {
  field: FieldInfo;
  text: string;
  isLocked: boolean;
  isWrong: boolean;
  set: (text: string) => void;
}

function Input({ field, text, isLocked, isWrong, set }: InputProps) {
  const shared = { id: `field-${field.name}`, disabled: isLocked, "aria-invalid": isWrong };
  if (field.type === "choice") {
    return (
      <select {...shared} value={text} onChange={(event) => set(event.currentTarget.value)}>
        {field.choices?.map((choice) => <option key={choice}>{choice}</option>)}
      </select>
    );
  }
  if (field.type === "json" || field.type === "list") {
    return <textarea {...shared} class="mono" rows={Math.min(10, text.split("\n").length + 1)} spellcheck={false} dir="auto" value={text} onInput={(event) => set(event.currentTarget.value)} />;
  }
  return <input {...shared} inputMode={field.type === "number" ? "decimal" : "text"} dir="auto" value={text} onInput={(event) => set(event.currentTarget.value)} />;
}
