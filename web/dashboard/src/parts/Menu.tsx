// A button that opens a panel below it (on a phone: a sheet). Escape and a click elsewhere close it.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface MenuProps {
  label: ComponentChildren;
  title: string;
  class?: string;
  align?: "left" | "right";
  /** Its value on the address of a shortcut: `data-menu`. */
  name?: string;
  children: (close: () => void) => ComponentChildren;
}

export function Menu({ label, title, children, name, align = "left", class: kind = "button" }: MenuProps) {
  const isOpen = useSignal(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = (): void => {
    isOpen.value = false;
    button.current?.focus();
  };
  // Before the browser paints, so that no key of someone who types at once is lost.
  useLayoutEffect(() => {
    if (!isOpen.value) return;
    box.current?.querySelector<HTMLElement>("[data-first], .panel input, .panel button")?.focus();
    const onPointer = (event: Event): void => {
      if (!box.current?.contains(event.target as Node)) isOpen.value = false;
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    };
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("keydown", onKey, true);
    return () => {
      document.removeEventListener("pointerdown", onPointer);
      document.removeEventListener("keydown", onKey, true);
    };
  }, [isOpen.value]);
  return (
    <div class="menu" ref={box}>
      <button
        type="button"
        ref={button}
        class={kind}
        title={title}
        aria-haspopup="dialog"
        aria-expanded={isOpen.value}
        data-menu={name}
        onClick={() => (isOpen.value = !isOpen.value)}
      >
        {label}
      </button>
      {isOpen.value && (
        <div class={`panel panel-${align}`} role="dialog" aria-label={title}>
          {children(close)}
        </div>
      )}
    </div>
  );
}
