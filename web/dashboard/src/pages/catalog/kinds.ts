// The two kinds of the catalog: their fields as the API checks them, and what a table shows.

export type FieldType = "text" | "number" | "json" | "list" | "choice" | "time";

export interface FieldInfo {
  name: string;
  label: string;
  type: FieldType;
  choices?: string[];
  hint?: string;
}

export interface Entity {
  id: string;
  [field: string]: unknown;
}

export interface Kind {
  name: string;
  plural: "users" | "products";
  title: string;
  searchHint: string;
  columns: string[];
  fields: FieldInfo[];
  sorts: { value: string; name: string }[];
}

/** What a product may be; the first is that of a new one. */
export const STATUSES = ["active", "draft", "archived"];

const SORTS = [
  { value: "", name: "Newest first" },
  { value: "created_at", name: "Oldest first" },
  { value: "-updated_at", name: "Last changed first" },
  { value: "name", name: "By name" },
  { value: "id", name: "By id" },
];

export const KINDS: Record<"products" | "users", Kind> = {
  products: {
    name: "product",
    plural: "products",
    title: "Products",
    searchHint: "Name or id begins with …",
    columns: ["name", "id", "category", "brand", "price", "status", "updated_at"],
    sorts: SORTS,
    fields: [
      { name: "name", label: "Name", type: "text" },
      { name: "category", label: "Category", type: "text" },
      { name: "brand", label: "Brand", type: "text" },
      { name: "price", label: "Price", type: "number" },
      { name: "currency", label: "Currency", type: "text", hint: "Three letters, as EUR" },
      { name: "image_url", label: "Picture", type: "text", hint: "An address; the dashboard does not load it" },
      { name: "status", label: "Status", type: "choice", choices: STATUSES },
      { name: "attributes", label: "Attributes", type: "json" },
    ],
  },
  users: {
    name: "user",
    plural: "users",
    title: "Users",
    searchHint: "Name, email or id begins with …",
    columns: ["name", "id", "email", "first_seen", "last_seen", "updated_at"],
    sorts: SORTS,
    fields: [
      { name: "name", label: "Name", type: "text" },
      { name: "email", label: "Email", type: "text" },
      { name: "traits", label: "Traits", type: "json" },
      { name: "anonymous_ids", label: "Anonymous ids", type: "list", hint: "One a line" },
      { name: "first_seen", label: "First seen", type: "time" },
      { name: "last_seen", label: "Last seen", type: "time" },
    ],
  },
};

export type Draft = Record<string, string>;

export function draftOf(kind: Kind, entity: Entity | null): Draft {
  return Object.fromEntries(kind.fields.map((field) => [field.name, textOf(field, entity?.[field.name])]));
}

export function textOf({ type, choices }: FieldInfo, value: unknown): string {
  if (value === null || value === undefined) return type === "json" ? "{}" : type === "choice" ? (choices?.[0] ?? "") : "";
  if (type === "json") return JSON.stringify(value, null, 2);
  if (type === "list") return (value as string[]).join("\n");
  return String(value);
}

/** What a field's text says to the API; an empty text is null. Throws with words where it cannot be read. */
export function readText(field: FieldInfo, text: string): unknown {
  if (field.type === "list") return text.split("\n").map((line) => line.trim()).filter(Boolean);
  if (field.type === "json") return jsonOf(text);
  if (!text.trim()) return null;
  if (field.type !== "number") return text;
  const number = Number(text.replace(",", "."));
  if (Number.isNaN(number)) throw new Error(`${text} is not a number.`);
  return number;
}

function jsonOf(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text || "{}");
  } catch {
    throw new Error('This is not JSON. An example: {"color": "green"}');
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("An object belongs here: { … }");
  return value;
}

/** A JSON merge patch from one object to another: what is gone is null. */
export function mergePatch(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, unknown> {
  const patch: Record<string, unknown> = {};
  for (const name of Object.keys(before)) if (!(name in after)) patch[name] = null;
  for (const [name, value] of Object.entries(after)) {
    const old = before[name];
    if (JSON.stringify(old) === JSON.stringify(value)) continue;
    const areObjects = [old, value].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
    patch[name] = areObjects ? mergePatch(old as Record<string, unknown>, value as Record<string, unknown>) : value;
  }
  return patch;
}
