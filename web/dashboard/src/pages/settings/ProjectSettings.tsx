// The project: what may change, and what cannot, because what was counted depends on it.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { asProblem, getWithEtag, send } from "../../api/client";
import type { Problem, Project } from "../../api/types";
import { Card, ProblemNote, Skeleton } from "../../parts/Card";
import { Select } from "../../parts/Select";
import { can, project, tell } from "../../state/app";

const lines = (text: string): string[] => text.split("\n").map((line) => line.trim()).filter(Boolean);
const DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

interface Draft {
  name: string;
  week_start: string;
  origins: string;
  properties: string;
  traits: string;
}

export function ProjectSettings() {
  const id = project.value?.id ?? "";
  const etag = useSignal<string | null>(null);
  const draft = useSignal<Draft | null>(null);
  const problem = useSignal<Problem | null>(null);
  const take = (body: Project, tag: string | null): void => {
    etag.value = tag;
    project.value = body;
    draft.value = {
      name: body.name, week_start: body.week_start, origins: body.allowed_origins.join("\n"), properties: body.event_properties.join("\n"),
      traits: body.user_traits.join("\n"),
    };
  };
  const load = (): void => {
    getWithEtag<Project>(`/v1/projects/${id}`).then(
      ({ body, etag: tag }) => take(body, tag),
      (error) => (problem.value = asProblem(error)),
    );
  };
  useEffect(load, [id]);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (!draft.value) return;
    const { name, week_start, origins, properties, traits } = draft.value;
    const body = {
      name, week_start, allowed_origins: lines(origins), event_properties: lines(properties), user_traits: lines(traits),
    };
    try {
      const saved = await send<Project>("PATCH", `/v1/projects/${id}`, body, etag.value ? { "if-match": etag.value } : {});
      take(saved.body, saved.etag);
      problem.value = null;
      tell("Saved");
    } catch (error) {
      problem.value = asProblem(error);
      if (problem.value.status === 412) load();
    }
  };
  const own = project.value;
  const values = draft.value;
  if (problem.value && !values) return <Card><ProblemNote problem={problem.value} onRetry={load} /></Card>;
  if (!values || !own) return <Card><Skeleton rows={6} /></Card>;
  const isLocked = !can("admin");
  const wrong = (name: string) => (problem.value?.field ?? "").startsWith(name) && <p class="wrong">{problem.value?.detail} {problem.value?.hint}</p>;
  return (
    <div class="pair">
      <Card title="Project" label="Project">
        <form class="form" onSubmit={submit}>
          <label class="field">
            <span>Name</span>
            <input value={values.name} disabled={isLocked} onInput={(event) => (draft.value = { ...values, name: event.currentTarget.value })} />
            {wrong("name")}
          </label>
          {isLocked ? <p class="quiet">A week begins on {values.week_start}.</p> : <Select label="A week begins on" value={values.week_start} options={DAYS.map((day) => ({ value: day, name: day.charAt(0).toUpperCase() + day.slice(1) }))} choose={(week_start) => (draft.value = { ...values, week_start })} />}
          <label class="field">
            <span>Websites that may send from a browser, one a line</span>
            <textarea class="mono" rows={4} spellcheck={false} disabled={isLocked} placeholder="https://shop.example" value={values.origins} onInput={(event) => (draft.value = { ...values, origins: event.currentTarget.value })} />
            <small class="quiet">Empty: every website may send with the write key.</small>
            {wrong("allowed_origins")}
          </label>
          <label class="field">
            <span>Properties of events to ask by, one a line</span>
            <textarea class="mono" rows={3} spellcheck={false} disabled={isLocked} placeholder="coupon" value={values.properties} onInput={(event) => (draft.value = { ...values, properties: event.currentTarget.value })} />
            <small class="quiet">At most 8. Events are counted by a property from the moment it is saved; a rebuild counts those before.</small>
            {wrong("event_properties")}
          </label>
          <label class="field">
            <span>Traits of users to ask by, one a line</span>
            <textarea class="mono" rows={3} spellcheck={false} disabled={isLocked} placeholder="plan" value={values.traits} onInput={(event) => (draft.value = { ...values, traits: event.currentTarget.value })} />
            <small class="quiet">At most 8. An event counts by what was known of its person when it was counted.</small>
            {wrong("user_traits")}
          </label>
          <div role="alert">
            {problem.value?.status === 412 && <p class="wrong">Somebody changed the project meanwhile. These are the new values; change them again.</p>}
          </div>
          {!isLocked && <button type="submit" class="button primary">Save</button>}
        </form>
      </Card>
      <Card title="What stays" label="What stays">
        <dl class="facts">
          <div><dt>Slug</dt><dd><code>{own.slug}</code>, the <code>projectId</code> of events</dd></div>
          <div><dt>Id</dt><dd><code>{own.id}</code></dd></div>
          <div><dt>Time zone</dt><dd>{own.zone}</dd></div>
          <div><dt>Currency</dt><dd>{own.currency}</dd></div>
        </dl>
        <p class="quiet note">Days were counted in this zone and money in this currency. Another zone or currency is another project, or a rebuild from the log.</p>
      </Card>
    </div>
  );
}
