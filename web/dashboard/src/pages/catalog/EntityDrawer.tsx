// One user or product: read, change with If-Match, create, delete, erase. A conflict shows both versions.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiProblem, asProblem, getWithEtag, send } from "../../api/client";
import type { Problem } from "../../api/types";
import { ProblemNote, Skeleton } from "../../parts/Card";
import { Dialog } from "../../parts/Dialog";
import { Link } from "../../parts/links";
import { moment } from "../../show/times";
import { can, pageView, setMore, tell, zone } from "../../state/app";
import { forgetProduct } from "../../state/products";
import { Conflict } from "./Conflict";
import { EntityForm } from "./EntityForm";
import { Removal } from "./Removal";
import { type Draft, draftOf, type Entity, type Kind, mergePatch, readText } from "./kinds";

interface EntityDrawerProps {
  kind: Kind;
  id: string;
  suggestedId: string;
  onClose: (changed: boolean) => void;
}

interface State {
  entity: Entity | null;
  etag: string | null;
  draft: Draft;
  newId: string;
  problem: Problem | null;
  theirs: Entity | null;
}

export function EntityDrawer({ kind, id, suggestedId, onClose }: EntityDrawerProps) {
  const path = `/v1/${kind.plural}/${encodeURIComponent(id)}`;
  const state = useSignal<State>({ entity: null, etag: null, draft: draftOf(kind, null), newId: suggestedId, problem: null, theirs: null });
  const hasChanged = useSignal(false);
  const isBusy = useSignal(false);
  const set = (change: Partial<State>): void => {
    state.value = { ...state.peek(), ...change };
  };
  useEffect(() => {
    if (!id) return;
    getWithEtag<Entity>(path).then(
      ({ body, etag }) => set({ entity: body, etag, draft: draftOf(kind, body), problem: null }),
      (error) => set({ problem: asProblem(error) }),
    );
  }, [path]);
  const { entity, draft, problem, theirs } = state.value;
  const isDirty = JSON.stringify(draft) !== JSON.stringify(draftOf(kind, entity)) || (!id && state.value.newId !== suggestedId);
  const close = (): void => {
    if (!isDirty || hasChanged.value || confirm("There are changes that are not saved. Leave them?")) onClose(hasChanged.value);
  };

  const saveDraft = async (etag: string | null, base: Entity | null, chosen: Draft): Promise<void> => {
    isBusy.value = true;
    try {
      const values = readDraft(kind, chosen);
      const before = base ? Object.fromEntries(kind.fields.map(({ name }) => [name, base[name]])) : {};
      const saved = id
        ? await send<Entity>("PATCH", path, mergePatch(before, values), etag ? { "if-match": etag } : {})
        : await send<Entity>("POST", `/v1/${kind.plural}`, { id: state.peek().newId.trim(), ...values });
      hasChanged.value = true;
      forgetProduct(saved.body.id);
      set({ entity: saved.body, etag: saved.etag, draft: draftOf(kind, saved.body), problem: null, theirs: null });
      tell(id ? "Saved" : "Created");
      if (!id) onClose(true);
    } catch (error) {
      await explain(error);
    }
    isBusy.value = false;
  };

  /** 412: somebody was faster, so both versions are shown. Anything else is a problem of a field or of the whole. */
  const explain = async (error: unknown): Promise<void> => {
    if (error instanceof ApiProblem && error.problem.status === 412) {
      const { body, etag } = await getWithEtag<Entity>(path);
      set({ theirs: body, etag, problem: null });
    } else if (error instanceof FieldError) {
      set({ problem: { type: "", title: "A field cannot be read", status: 422, detail: error.message, field: error.field } });
    } else set({ problem: asProblem(error) });
  };

  const title = id ? String(entity?.name || id) : `New ${kind.name}`;
  return (
    <Dialog title={title} kind="drawer" onClose={close}>
      {id && !entity && !problem && <Skeleton rows={8} />}
      {id && !entity && problem && <ProblemNote problem={problem} />}
      {theirs ? (
        <Conflict kind={kind} base={entity} theirs={theirs} draft={draft} onChoose={(chosen) => void saveDraft(state.peek().etag, theirs, chosen)} onDrop={() => set({ entity: theirs, draft: draftOf(kind, theirs), theirs: null })} />
      ) : (
        (entity || !id) && (
          <>
            {entity && <EntityFacts kind={kind} entity={entity} />}
            <EntityForm
              kind={kind}
              draft={draft}
              newId={id ? null : state.value.newId}
              problem={problem}
              isLocked={!can("catalog:write")}
              isBusy={isBusy.value}
              isDirty={isDirty}
              setId={(newId) => set({ newId })}
              setField={(name, text) => set({ draft: { ...state.peek().draft, [name]: text } })}
              submit={() => void saveDraft(state.peek().etag, entity, draft)}
              openExisting={() => setMore({ id: state.peek().newId.trim(), add: "" })}
            />
            {entity && can("catalog:write") && <Removal kind={kind} entity={entity} etag={state.value.etag} onGone={() => onClose(true)} />}
          </>
        )
      )}
    </Dialog>
  );
}

class FieldError extends Error {
  constructor(readonly field: string, message: string) {
    super(message);
  }
}

function readDraft(kind: Kind, draft: Draft): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const field of kind.fields) {
    try {
      values[field.name] = readText(field, draft[field.name] ?? "");
    } catch (error) {
      throw new FieldError(field.name, (error as Error).message);
    }
  }
  return values;
}

function EntityFacts({ kind, entity }: { kind: Kind; entity: Entity }) {
  const target = kind.plural === "products" ? pageView("products", entity.id) : pageView("feed");
  return (
    <div class="row">
      <code dir="auto">{entity.id}</code>
      <span class="quiet">changed {moment(String(entity.updated_at), zone.value)}</span>
      <Link class="button small" to={kind.plural === "users" ? { ...target, more: { ...target.more, person: entity.id } } : target}>
        {kind.plural === "products" ? "Its numbers" : "Their events"}
      </Link>
    </div>
  );
}
