// A project's first event: how to send one, and what arrives within a second, understood or refused with its reason.
import { useSignal } from "@preact/signals";
import { asProblem, send } from "../api/client";
import { useFeed } from "../live/feed";
import { copy } from "../show/files";
import { aboutOf, eventName, personOf, STATUS_WORDS } from "../show/events";
import { ago } from "../show/times";
import { can, project, tell } from "../state/app";
import { serverNow } from "../live/board";
import { Card } from "./Card";
import { useNow } from "./LiveDot";
import { Segments } from "./Select";

const PLACEHOLDER = "WRITE_KEY";
const WAYS: Record<string, (key: string, origin: string) => string> = {
  html: (key, origin) => `<script defer src="${origin}/rta.js" data-key="${key}"></script>`,
  curl: (key, origin) =>
    `curl ${origin}/v1/track -H "Authorization: Bearer ${key}" \\\n  -d '{"anonymousId": "me", "event": "Product Viewed", "properties": {"product_id": "p-1"}}'`,
  sdk: (key, origin) =>
    `import { Analytics } from "@segment/analytics-node";\n\nconst analytics = new Analytics({ writeKey: "${key}", host: "${origin}" });\nanalytics.track({ anonymousId: "me", event: "Signed Up" });`,
};

export function FirstEvent({ isCompact }: { isCompact: boolean }) {
  const way = useSignal("html");
  const key = useSignal("");
  const text = (WAYS[way.value] ?? WAYS.html)?.(key.value.trim() || PLACEHOLDER, location.origin) ?? "";
  const make = async (): Promise<void> => {
    try {
      const { body } = await send<{ key: string }>("POST", "/v1/keys", { name: "made on the install page", scopes: ["collect"] });
      key.value = body.key;
    } catch (error) {
      tell(asProblem(error).detail, "bad");
    }
  };
  return (
    <div class="pair first-event">
      <Card title={isCompact ? `Send the first event of ${project.value?.name ?? "the project"}` : "Send events"} label="Send events">
        <Segments label="Way" value={way.value} options={[["html", "Website"], ["curl", "curl"], ["sdk", "SDK"]]} choose={(one) => (way.value = one)} />
        <pre class="raw" tabIndex={0}>{text}</pre>
        <button type="button" class="button primary" onClick={() => void copy(text, "The lines are")}>Copy</button>
        <div class="row bottom">
          <label class="field grow">
            <span>Write key (it may only send, so it may be public)</span>
            <input value={key.value} spellcheck={false} placeholder="rta_w_…" onInput={(event) => (key.value = event.currentTarget.value)} />
          </label>
          {can("admin") && <button type="button" class="button" onClick={() => void make()}>Make a write key</button>}
        </div>
        {isCompact && <p class="quiet note">Or look at a simulated shop: <code>rta simulate --help</code> says how.</p>}
      </Card>
      <Arrivals />
    </div>
  );
}

function Arrivals() {
  const { items, problem } = useFeed({}, 6);
  const now = useNow(1_000);
  return (
    <Card title="What arrives" label="What arrives">
      {!items?.length ? (
        <p class="listening" role="status">
          <span class="pulse" /> Listening for the first event …
        </p>
      ) : (
        <ol class="rows" data-now={now.value}>
          {items.map((item) => (
            <li key={item.id} class="arrival">
              <div class="row">
                <strong dir="auto">{eventName(item)}</strong>
                <span class={`badge flush ${item.status}`}>{STATUS_WORDS[item.status]}</span>
                <span class="quiet push">{ago(serverNow() - Date.parse(item.received_at ?? ""))}</span>
              </div>
              {item.problem ? (
                <p class="wrong" dir="auto">
                  {item.problem.detail} {item.problem.hint}
                </p>
              ) : (
                <p class="quiet" dir="auto">{[personOf(item), aboutOf(item), item.source].filter(Boolean).join(" · ")}</p>
              )}
            </li>
          ))}
        </ol>
      )}
      {problem && <p class="quiet note">{problem.detail}</p>}
    </Card>
  );
}
