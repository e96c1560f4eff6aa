// The catalog: users and products; search, sort, create, change, delete, import, export.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { asProblem, get, request } from "../api/client";
import type { Page, Problem } from "../api/types";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { Icon } from "../parts/Icon";
import { Link } from "../parts/links";
import { Select } from "../parts/Select";
import { save } from "../show/files";
import { valueName } from "../show/names";
import { can, pageView, setMore, tell, view } from "../state/app";
import { EntityDrawer } from "./catalog/EntityDrawer";
import { EntityTable } from "./catalog/EntityTable";
import { ImportDialog } from "./catalog/ImportDialog";
import { type Entity, KINDS, type Kind, STATUSES } from "./catalog/kinds";

const TYPING_MS = 150;
const PAGE = 50;
const STATUS_OPTIONS = [{ value: "", name: "Any status" }, ...STATUSES.map((status) => ({ value: status, name: valueName("status", status) }))];

export default function Catalog() {
  const kind = view.value.sub === "users" ? KINDS.users : KINDS.products;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Catalog</h1>
        <nav class="tabs" aria-label="Kinds">
          {Object.values(KINDS).map((one) => (
            <Link key={one.plural} to={pageView("catalog", one.plural)} isHere={one === kind}>{one.title}</Link>
          ))}
        </nav>
      </div>
      <List kind={kind} key={kind.plural} />
    </div>
  );
}

/** The query of the list, without the cursor: paging keeps all of it. */
function parametersOf(): URLSearchParams {
  const { q, sort, status } = view.value.more;
  const parameters = new URLSearchParams({ limit: String(PAGE) });
  if (q) parameters.set("q", q);
  if (sort) parameters.set("sort", sort);
  if (status && view.value.sub !== "users") parameters.set("status", status);
  return parameters;
}

function List({ kind }: { kind: Kind }) {
  const parameters = parametersOf();
  const key = `/v1/${kind.plural}?${parameters}`;
  const state = useSignal<{ items: Entity[] | null; next: string | null; problem: Problem | null }>({ items: null, next: null, problem: null });
  const isOld = useSignal(false);
  const isImporting = useSignal(false);
  const load = async (cursor: string | null): Promise<void> => {
    isOld.value = true;
    try {
      const page = await get<Page<Entity>>(cursor ? `${key}&cursor=${encodeURIComponent(cursor)}` : key);
      state.value = { items: [...(cursor ? (state.peek().items ?? []) : []), ...page.items], next: page.next_cursor, problem: null };
    } catch (error) {
      state.value = { ...state.peek(), problem: asProblem(error) };
    }
    isOld.value = false;
  };
  useEffect(() => void load(null), [key]);
  const { items, next, problem } = state.value;
  const { id, add } = view.value.more;
  const close = (changed: boolean): void => {
    setMore({ id: "", add: "" });
    if (changed) void load(null);
  };
  return (
    <>
      <div class="filter-bar">
        <SearchField kind={kind} />
        <Select label="Sorted by" isLabelHidden value={view.value.more.sort ?? ""} options={kind.sorts} choose={(sort) => setMore({ sort })} />
        {kind.plural === "products" && (
          <Select label="Status" isLabelHidden value={view.value.more.status ?? ""} options={STATUS_OPTIONS} choose={(status) => setMore({ status })} />
        )}
        <div class="row copies">
          {can("catalog:write") && (
            <>
              <button type="button" class="button primary" onClick={() => setMore({ add: "new" })}><PlusIcon /> New {kind.name}</button>
              <button type="button" class="button" onClick={() => (isImporting.value = true)}>Import</button>
            </>
          )}
          <button type="button" class="button" onClick={() => void exportAll(kind, parameters)}>Export CSV</button>
        </div>
      </div>
      <Card label={kind.title} isOld={isOld.value && items !== null}>
        {problem && !items ? (
          <ProblemNote problem={problem} onRetry={() => void load(null)} />
        ) : !items ? (
          <Skeleton rows={12} />
        ) : items.length ? (
          <EntityTable kind={kind} items={items} open={(entity) => setMore({ id: entity.id })} />
        ) : (
          <Empty>No {kind.name} fits. {view.value.more.q && <button type="button" class="button small" onClick={() => setMore({ q: "" })}>Drop the search</button>}</Empty>
        )}
        {next && <button type="button" class="button small load-more" onClick={() => void load(next)}>Show more</button>}
      </Card>
      {(id || add) && <EntityDrawer key={id ?? `+${add}`} kind={kind} id={id ?? ""} suggestedId={add && add !== "new" ? add : ""} onClose={close} />}
      {isImporting.value && (
        <ImportDialog
          kind={kind}
          onClose={(changed) => {
            isImporting.value = false;
            if (changed) void load(null);
          }}
        />
      )}
    </>
  );
}

const PlusIcon = () => <Icon name="plus" />;

function SearchField({ kind }: { kind: Kind }) {
  const typed = useSignal(view.value.more.q ?? "");
  useEffect(() => {
    const timer = setTimeout(() => {
      if (typed.value !== (view.peek().more.q ?? "")) setMore({ q: typed.value }, true);
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed.value]);
  useEffect(() => {
    typed.value = view.value.more.q ?? "";
  }, [view.value.more.q]);
  return (
    <div class="search">
      <input type="search" aria-label={`Search ${kind.title.toLowerCase()}`} placeholder={kind.searchHint} value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} />
    </div>
  );
}

/** All that is filtered, page by page, as the API writes CSV; one header. */
async function exportAll(kind: Kind, parameters: URLSearchParams): Promise<void> {
  const lines: string[] = [];
  let cursor: string | null = null;
  try {
    do {
      const asked = new URLSearchParams(parameters);
      asked.set("limit", "500");
      if (cursor) asked.set("cursor", cursor);
      const response: Response = await request(`/v1/${kind.plural}?${asked}`, { headers: { accept: "text/csv" } });
      const text = await response.text();
      lines.push(lines.length ? text.slice(text.indexOf("\n") + 1) : text);
      cursor = /[?&]cursor=([^&>]+)/.exec(response.headers.get("link") ?? "")?.[1] ?? null;
      cursor = cursor && decodeURIComponent(cursor);
    } while (cursor);
    save(`${kind.plural}.csv`, lines.join(""));
  } catch (error) {
    tell(asProblem(error).detail, "bad");
  }
}
