// The frame of a table: it scrolls by itself where it is wider than its place, by keyboard too. Rows are the caller's.
import type { ComponentChildren } from "preact";

interface TableProps {
  label: string;
  /** Names of the columns; one that begins with `#` has numbers, which stand at the right. */
  columns: string[];
  class?: string;
  children: ComponentChildren;
}

export const Table = ({ label, columns, children, class: kind }: TableProps) => (
  <div class="table-box" tabIndex={0} role="region" aria-label={label}>
    <table class={kind}>
      <thead>
        <tr>
          {columns.map((column) => (
            <th scope="col" key={column} class={column.startsWith("#") ? "number" : undefined}>{column.replace(/^#/, "")}</th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  </div>
);
