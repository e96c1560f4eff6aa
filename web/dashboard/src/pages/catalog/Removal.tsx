// Delete takes the profile or product; erase takes the person everywhere, after the id is typed, and shows the receipt.
import { useSignal } from "@preact/signals";
import { asProblem, send } from "../../api/client";
import { save } from "../../show/files";
import { tell } from "../../state/app";
import { forgetProduct } from "../../state/products";
import type { Entity, Kind } from "./kinds";

interface RemovalProps {
  kind: Kind;
  entity: Entity;
  etag: string | null;
  onGone: () => void;
}

export function Removal({ kind, entity, etag, onGone }: RemovalProps) {
  const typed = useSignal("");
  const note = useSignal("");
  const receipt = useSignal<unknown>(null);
  const path = `/v1/${kind.plural}/${encodeURIComponent(entity.id)}`;
  const remove = async (isErased: boolean): Promise<void> => {
    try {
      const { body } = await send<unknown>("DELETE", isErased ? `${path}?erase=true` : path, undefined, etag && !isErased ? { "if-match": etag } : {});
      forgetProduct(entity.id);
      if (isErased) receipt.value = body;
      else {
        tell("Deleted");
        onGone();
      }
    } catch (error) {
      note.value = asProblem(error).detail;
    }
  };
  if (receipt.value) {
    const text = JSON.stringify(receipt.value, null, 2);
    return (
      <div class="form">
        <h3>The person is erased. This is the receipt.</h3>
        <pre class="raw">{text}</pre>
        <div class="row">
          <button type="button" class="button" onClick={() => save(`receipt_${entity.id}.json`, new Blob([text], { type: "application/json" }))}>Save the receipt</button>
          <button type="button" class="button primary" onClick={onGone}>Done</button>
        </div>
      </div>
    );
  }
  return (
    <details class="removal">
      <summary>Delete{kind.plural === "users" ? " or erase" : ""}</summary>
      <p class="quiet">
        {kind.plural === "users"
          ? "Deleting takes the profile. Erasing also takes the person out of totals of persons and of the log's future readings; it cannot be undone."
          : "The numbers of the product stay; its name and category go."}
      </p>
      {note.value && <p class="wrong">{note.value}</p>}
      <div class="row">
        <button type="button" class="button danger" onClick={() => confirm(`Delete ${entity.id}?`) && void remove(false)}>Delete the {kind.plural === "users" ? "profile" : "product"}</button>
      </div>
      {kind.plural === "users" && (
        <div class="row">
          <label class="field grow">
            <span>To erase the person, type the id: {entity.id}</span>
            <input value={typed.value} spellcheck={false} onInput={(event) => (typed.value = event.currentTarget.value)} />
          </label>
          <button type="button" class="button danger" disabled={typed.value !== entity.id} onClick={() => void remove(true)}>Erase</button>
        </div>
      )}
    </details>
  );
}
