// The sign-in: one field. A one-time link signs in by itself (main.tsx).
import { useSignal } from "@preact/signals";
import { asProblem } from "../api/client";
import { signIn } from "../state/app";

export function SignIn({ note }: { note: string }) {
  const key = useSignal("");
  const problem = useSignal("");
  const hint = useSignal("");
  const isBusy = useSignal(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    isBusy.value = true;
    try {
      await signIn({ key: key.value.trim() });
    } catch (error) {
      const { detail, hint: remedy } = asProblem(error);
      problem.value = detail;
      hint.value = remedy ?? "";
    }
    isBusy.value = false;
  };
  return (
    <main class="sign-in">
      <form class="card" onSubmit={submit}>
        <Logo />
        <h1>Sign in</h1>
        <p class="quiet">With a read key you see the numbers. An admin key also changes the catalog and the settings.</p>
        <label class="field">
          <span>Key</span>
          <input
            name="key"
            type="password"
            autocomplete="current-password"
            spellcheck={false}
            autoFocus
            required
            placeholder="rta_r_…"
            value={key.value}
            aria-invalid={Boolean(problem.value || note)}
            onInput={(event) => (key.value = event.currentTarget.value)}
          />
        </label>
        <div role="alert">
          {(problem.value || note) && <p class="wrong">{problem.value || note}</p>}
          {hint.value && <p class="quiet">{hint.value}</p>}
        </div>
        <button type="submit" class="button primary" disabled={isBusy.value}>
          Sign in
        </button>
        <details>
          <summary>Where do I find a key?</summary>
          <p>
            <code>rta up</code> prints a link that signs in once, and the demo project's keys. They are also in{" "}
            <code>.rta/keys.json</code>. An administrator makes more in Settings, Keys.
          </p>
        </details>
      </form>
    </main>
  );
}

export const Logo = () => (
  <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" />
    <path d="M6 21l6-8 5 5 9-11" />
  </svg>
);
