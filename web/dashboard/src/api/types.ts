// What the API says, as far as the pages read it. docs/reference/api.md has the whole.

export interface Query {
  metric: string;
  from?: string;
  to?: string;
  interval?: string;
  timezone?: string;
  filters?: Record<string, string[]>;
  breakdown?: string[];
  limit?: number;
  compare?: string;
}

export type Point = [string, number | null];

export interface Result {
  dimensions: Record<string, string>;
  total: number | null;
  previous: number | null;
  points: Point[];
}

export interface Meta {
  as_of: string | null;
  lag_ms: number | null;
  complete: boolean;
  exact: boolean;
  error: number | null;
  late: number;
  duplicates: number;
  dead: number;
  unreadable_times: number;
  unreadable_amounts: number;
  repeated_orders: number;
  more_rows?: boolean;
  other_currencies?: number;
  traits?: "at_apply";
  reasons?: string[];
}

export interface Answer {
  metric: string;
  unit: Unit;
  from: string;
  to: string;
  interval: string;
  timezone: string;
  results: Result[];
  meta: Meta;
  currency?: string;
  previous_from?: string;
  previous_to?: string;
}

export interface AnswerUpdate extends Answer {
  removed?: Record<string, string>[];
  index: number;
  order?: number[];
}

export type Unit = "count" | "money" | "ratio" | "number" | "seconds";

export interface MetricInfo {
  name: string;
  unit: Unit;
  description: string;
  dimensions: string[];
  intervals: string[];
}

export interface Project {
  id: string;
  slug: string;
  name: string;
  zone: string;
  week_start: string;
  currency: string;
  allowed_origins: string[];
  event_properties: string[];
  user_traits: string[];
  settings: Record<string, unknown>;
}

/** A total without points, as products and engagement answer it. */
export interface Total {
  unit: Unit;
  total: number | null;
  previous: number | null;
  error: number | null;
  currency?: string;
}

export interface ProductRow {
  product_id: string;
  value: number | null;
  name: string | null;
  price: number | null;
  currency: string | null;
  category: string | null;
  score?: number;
  previous?: number | null;
  change?: number | null;
}

export interface Page<Item> {
  items: Item[];
  next_cursor: string | null;
}

/** An error as the API words it (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  field?: string | null;
  allowed?: unknown;
  hint?: string | null;
}

/** An event as the platform understood it. `raw` is text and is shown as text. */
export interface FeedItem {
  id: string;
  status: "counted" | "duplicate" | "late" | "dead" | "rejected";
  time: string | null;
  received_at: string | null;
  event: string | null;
  source: string | null;
  persons: Record<string, string>;
  fields: Record<string, unknown>;
  marks: string[];
  problem: { reason: string; detail: string; field: string | null; hint: string | null } | null;
  raw: string;
  is_raw_cut: boolean;
}
