// Who the visitor is and what they allow, in localStorage, or in a cookie where the page asks for one.
// Where storage is blocked, or not allowed yet, it lives as long as the page.

import { isOff, options } from "./options";

interface State {
  id?: string;
  user?: string | undefined;
  /** 1 agreed, 0 refused; absent while nothing was said. */
  ok?: 0 | 1;
}

const { cookies } = options; // the domain, or nothing: this host alone

let state: State = {};

export const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join("");

const attempt = <T>(action: () => T): T | undefined => {
  try {
    return action();
  } catch {
    return undefined;
  }
};

const load = (): State => {
  const text = attempt(() =>
    cookies === undefined
      ? localStorage.getItem("rta")
      : decodeURIComponent(/(?:^|; )rta=([^;]*)/.exec(document.cookie)?.[1] ?? ""),
  );
  // Read anew each time: another tab may have signed out or opted out.
  if (text) state = attempt(() => JSON.parse(text) as State) ?? state;
  return state;
};

const save = (): void => {
  if (isOff("storage")) return;
  const text = JSON.stringify(state);
  attempt(() => {
    if (cookies === undefined) localStorage.setItem("rta", text);
    else
      document.cookie =
        `rta=${encodeURIComponent(text)};path=/;max-age=31536000;samesite=lax` +
        (cookies && `;domain=${cookies}`) +
        (location.protocol === "https:" ? ";secure" : "");
  });
};

const decide = (): 0 | 1 | undefined => {
  const isRefused =
    "dnt" in options &&
    (navigator.doNotTrack === "1" || (navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl);
  return state.ok ?? (isRefused ? 0 : options.consent === "required" ? undefined : 1);
};

/** 1: send. 0: drop. undefined: hold in memory until the visitor has chosen. */
export const consent = (): 0 | 1 | undefined => {
  load();
  return decide();
};

/** Keep the visitor's choice; a refusal leaves nothing else. */
export const choose = (ok: boolean): void => {
  load();
  state = ok ? { ...state, ok: 1 } : { ok: 0 };
  save();
};

export const ids = (): { anonymousId: string; userId: string | undefined } => {
  const { id, user } = load();
  if (!id) {
    state.id = newId();
    remember();
  }
  return { anonymousId: state.id!, userId: user };
};

export const setUser = (user: string): void => {
  load();
  state.user = user;
  remember();
};

/** Another visitor from now on; their choice about consent stays. */
export const forget = (): void => {
  const { ok } = load();
  state = ok ? { ok } : {};
  remember();
};

const remember = (): void => {
  if (decide()) save();
};

/** Take the events that could not be sent before. */
export const takeUnsent = <E>(): E[] =>
  attempt(() => {
    const text = localStorage.getItem("rta_unsent");
    if (text) localStorage.removeItem("rta_unsent");
    return JSON.parse(text || "[]") as E[];
  }) ?? [];

/** Whether they are kept for the next page. */
export const keepUnsent = (events: unknown[]): boolean =>
  !isOff("storage") && !!attempt(() => (localStorage.setItem("rta_unsent", JSON.stringify(events)), true));
