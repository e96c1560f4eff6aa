// A modal dialog, or a drawer at the right. The browser's own `dialog` keeps the focus in it.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "./Icon";

interface DialogProps {
  title: string;
  kind?: "dialog" | "drawer";
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, kind = "dialog", onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog
      ref={element}
      class={kind}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      <div class="dialog-body">
        <header class="card-head">
          <h2 dir="auto">{title}</h2>
          <button type="button" class="tool" aria-label="Close" title="Close  (Esc)" onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
