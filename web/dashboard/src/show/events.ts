// An event in words, for feeds.
import type { FeedItem } from "../api/types";
import { exact } from "./numbers";
import { valueName } from "./names";

export const eventName = (item: FeedItem): string => (item.event ? valueName("event", item.event) : "Unreadable event");

const text = (value: unknown): string => (typeof value === "string" || typeof value === "number" ? String(value) : "");

export const personOf = (item: FeedItem): string => item.persons.user_id ?? item.persons.anonymous_id ?? "";

export const productsOf = (item: FeedItem): string[] =>
  Array.isArray(item.fields.product_ids) ? item.fields.product_ids.map(text).filter(Boolean) : [];

export function amountOf(item: FeedItem): string {
  const { revenue, refunds, currency } = item.fields;
  const amount = typeof revenue === "number" ? revenue : typeof refunds === "number" ? -refunds : null;
  return amount === null ? "" : exact(amount, { unit: "money", currency: text(currency) || "EUR" });
}

export const aboutOf = (item: FeedItem): string => [text(item.fields.order_id), productsOf(item).join(", ")].filter(Boolean).join(" · ") || text(item.fields.page);

export const placeOf = (item: FeedItem): string =>
  [valueName("country", text(item.fields.country)), valueName("device", text(item.fields.device))].filter(Boolean).join(" · ");

export const STATUS_WORDS: Record<FeedItem["status"], string> = {
  counted: "counted",
  duplicate: "repeat, counted once",
  late: "too late to count",
  dead: "dead letter",
  rejected: "rejected",
};
