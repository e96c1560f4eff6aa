// Keys: a made key is shown once; the list shows ends only. Revoking says what it cuts.
import { useSignal } from "@preact/signals";
import { asProblem, send } from "../../api/client";
import type { Page, Problem } from "../../api/types";
import { useLoad } from "../../live/use";
import { Card, ProblemNote, Skeleton } from "../../parts/Card";
import { Select } from "../../parts/Select";
import { copy } from "../../show/files";
import { moment } from "../../show/times";
import { tell, zone } from "../../state/app";

interface Key {
  id: string;
  name: string;
  scopes: string[];
  shown: string;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
}

const KINDS: Record<string, string[]> = {
  write: ["collect"],
  read: ["read", "catalog:read"],
  admin: ["collect", "read", "catalog:read", "catalog:write", "admin"],
};
const WORDS: Record<string, string> = {
  collect: "sends events",
  read: "reads numbers",
  "catalog:read": "reads the catalog",
  "catalog:write": "changes the catalog",
  admin: "administers",
};

export function Keys() {
  const list = useLoad<Page<Key>>("/v1/keys?revoked=include&limit=200");
  const made = useSignal<{ name: string; key: string } | null>(null);
  const problem = useSignal<Problem | null>(null);
  const name = useSignal("");
  const kind = useSignal("read");
  const act = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      problem.value = null;
      list.reload();
    } catch (error) {
      problem.value = asProblem(error);
    }
  };
  const create = (event: Event): void => {
    event.preventDefault();
    void act(async () => {
      const { body } = await send<Key & { key: string }>("POST", "/v1/keys", { name: name.value.trim() || `${kind.value} key`, scopes: KINDS[kind.value] });
      made.value = { name: body.name, key: body.key };
      name.value = "";
    });
  };
  const rotate = (key: Key): void => {
    if (!confirm(`Make a new key in place of "${key.name}"? The old one works for a while longer.`)) return;
    void act(async () => {
      const { body } = await send<Key & { key: string }>("POST", `/v1/keys/${key.id}/rotate`);
      made.value = { name: body.name, key: body.key };
    });
  };
  const revoke = (key: Key): void => {
    const cut = key.scopes.includes("read") ? "sessions and live lines of this key end within a minute" : "events sent with it are refused within a minute";
    if (!confirm(`Revoke "${key.name}" (${key.shown})? It cannot be undone: ${cut}.`)) return;
    void act(async () => {
      await send("DELETE", `/v1/keys/${key.id}`);
      tell("Revoked");
    });
  };
  return (
    <>
      {made.value && (
        <div class="card made-key" role="status">
          <h2>{made.value.name}: copy it now, it is never shown again</h2>
          <div class="row">
            <code class="secret">{made.value.key}</code>
            <button type="button" class="button primary" onClick={() => made.value && void copy(made.value.key, "The key is")}>Copy</button>
            <button type="button" class="button" onClick={() => (made.value = null)}>Done</button>
          </div>
        </div>
      )}
      {problem.value && <ProblemNote problem={problem.value} onRetry={list.reload} />}
      <Card title="New key" label="New key">
        <form class="row bottom" onSubmit={create}>
          <label class="field">
            <span>Name</span>
            <input value={name.value} placeholder="What it is for" onInput={(event) => (name.value = event.currentTarget.value)} />
          </label>
          <Select label="Kind" value={kind.value} options={Object.entries(KINDS).map(([value, scopes]) => ({ value, name: `${value}: ${scopes.map((scope) => WORDS[scope]).join(", ")}` }))} choose={(value) => (kind.value = value)} />
          <button type="submit" class="button primary">Make the key</button>
        </form>
      </Card>
      <Card title="Keys" label="Keys" isOld={list.isOld}>
        {list.problem && !list.body ? <ProblemNote problem={list.problem} onRetry={list.reload} /> : !list.body ? <Skeleton rows={4} /> : (
          <div class="table-box" tabIndex={0} role="region" aria-label="Keys">
            <table>
              <thead>
                <tr>
                  <th scope="col">Name</th>
                  <th scope="col">Key</th>
                  <th scope="col">It may</th>
                  <th scope="col">Last used</th>
                  <th scope="col">State</th>
                  <th scope="col"><span class="hidden">Actions</span></th>
                </tr>
              </thead>
              <tbody>
                {list.body.items.map((key) => (
                  <tr key={key.id} class={key.revoked_at ? "faded" : ""}>
                    <th scope="row" dir="auto">{key.name}</th>
                    <td><code>{key.shown}</code></td>
                    <td>{key.scopes.map((scope) => WORDS[scope] ?? scope).join(", ")}</td>
                    <td class="nowrap quiet">{key.last_used_at ? moment(key.last_used_at, zone.value) : "not yet"}</td>
                    <td class="nowrap">{key.revoked_at ? `revoked ${moment(key.revoked_at, zone.value)}` : key.expires_at ? `until ${moment(key.expires_at, zone.value)}` : "valid"}</td>
                    <td class="nowrap">
                      {!key.revoked_at && (
                        <span class="row tight">
                          <button type="button" class="button small" onClick={() => rotate(key)}>Rotate</button>
                          <button type="button" class="button small danger" onClick={() => revoke(key)}>Revoke</button>
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Card>
    </>
  );
}
