// What the page says about the tracker: the `data-` attributes of its own script element.

const script = (document.currentScript ?? document.querySelector("script[data-key]")) as HTMLScriptElement | null;

/** By the name of the attribute: `data-key` is `options.key`; one without a value is there all the same. */
export const options: Record<string, string | undefined> = script?.dataset ?? {};

export const isOff = (name: string): boolean => options[name] === "off";

/** Where events go: below `data-host`, else beside the script, so that a path behind a proxy needs no word. */
export const endpoint = (): string => {
  const host = options.host && new URL(options.host.replace(/\/*$/, "/"), document.baseURI);
  return new URL("v1/batch", host || script?.src).href;
};
