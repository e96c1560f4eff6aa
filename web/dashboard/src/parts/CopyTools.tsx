// What every card gives away: its table in place of the picture, a PNG, a CSV, and the curl line that asks its numbers.
import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { copy, csvOfSheet, save, type Sheet } from "../show/files";
import { Icon } from "./Icon";

interface CopyToolsProps {
  /** The name of the files, without its ending. */
  file: string;
  curl: string;
  /** Undefined where the card is a table, or has nothing to show yet. */
  asTable?: Signal<boolean> | undefined;
  picture: (() => Promise<Blob | null>) | undefined;
  sheet: (() => Sheet) | undefined;
}

export function CopyTools({ file, curl, asTable, picture, sheet }: CopyToolsProps) {
  const savePicture = async (): Promise<void> => {
    const blob = await picture?.();
    if (blob) save(`${file}.png`, blob);
  };
  return (
    <>
      {asTable && (
        <ToolButton icon={asTable.value ? "chart" : "table"} title={asTable.value ? "Show the chart  (t)" : "Show the table  (t)"} act={() => (asTable.value = !asTable.value)} />
      )}
      <ToolButton icon="image" title="Save as PNG" isOff={!picture} act={() => void savePicture()} />
      <ToolButton icon="download" title="Save as CSV" isOff={!sheet} act={() => sheet && save(`${file}.csv`, csvOfSheet(sheet()))} />
      <CopyCurl curl={curl} />
    </>
  );
}

export const CopyCurl = ({ curl, of = "", class: kind = "" }: { curl: string; of?: string; class?: string }) => (
  <ToolButton icon="copy" title={of ? `Copy ${of} as curl` : "Copy as curl"} class={kind} act={() => void copy(curl, "The curl line is")} />
);

/** Whether a card shows its table: by its own button, and by the shortcut for all cards of the page. */
export function useTable(): Signal<boolean> {
  const asTable = useSignal(false);
  useEffect(() => {
    const toggle = (): void => {
      asTable.value = !asTable.value;
    };
    addEventListener("rta:table", toggle);
    return () => removeEventListener("rta:table", toggle);
  }, []);
  return asTable;
}

interface ToolButtonProps {
  icon: string;
  title: string;
  class?: string;
  isOff?: boolean;
  act: () => void;
}

export function ToolButton({ icon, title, act, isOff = false, class: kind = "" }: ToolButtonProps) {
  return (
    <button type="button" class={`tool ${kind}`} title={title} aria-label={title.replace(/\s+\(.\)$/, "")} disabled={isOff} onClick={act}>
      <Icon name={icon} />
    </button>
  );
}
