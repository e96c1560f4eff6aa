// Names of metrics, dimensions and values in words. What is not listed is worded from its own name.

const METRICS: Record<string, string> = {
  online: "Online now",
  page_views: "Page views",
  new_visitors: "New visitors",
  sessions_per_visitor: "Sessions per visitor",
  events_per_session: "Events per session",
  session_duration: "Session length",
  session_duration_median: "Median session",
  session_duration_p95: "95 % of sessions",
  bounce_rate: "Bounce rate",
  active_users: "Active today",
  weekly_active_users: "Active in 7 days",
  monthly_active_users: "Active in 30 days",
  product_views: "Product views",
  adds_to_cart: "Adds to cart",
  average_order_value: "Average order",
  conversion_rate: "Conversion",
  cart_abandonment_rate: "Carts left",
  net_revenue: "Net revenue",
  view_to_cart: "View → cart",
  cart_to_order: "Cart → order",
  view_to_order: "View → order",
};

const DIMENSIONS: Record<string, string> = {
  os: "Operating system",
  utm_source: "UTM source",
  utm_medium: "UTM medium",
  utm_campaign: "Campaign",
  product_id: "Product",
  product_category: "Category",
  product_brand: "Brand",
};

const EVENTS: Record<string, string> = {
  $page: "Page view",
  $screen: "Screen view",
  $identify: "Identified",
  $group: "Joined a group",
  $alias: "Linked ids",
};

const VALUES: Record<string, string> = { ios: "iOS", tv: "TV", ai: "AI assistants" };

/** The collector could not tell these of every event: servers have no device, and an address may be of no country. */
const TOLD_BY_THE_COLLECTOR = new Set(["country", "region", "language", "device", "os", "browser"]);

function absentName(dimension: string): string {
  if (TOLD_BY_THE_COLLECTOR.has(dimension)) return "Unknown";
  if (dimension === "page") return "No page (apps)";
  return /^(property|user)\./.test(dimension) ? "Not set" : "None";
}

/** Fewer is better: a fall is good. */
const FALLS_ARE_GOOD = new Set(["bounce_rate", "cart_abandonment_rate", "refunds"]);

function words(name: string): string {
  const text = name.replace(/[_.]/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export const metricName = (name: string): string => METRICS[name] ?? words(name);

export function dimensionName(name: string): string {
  if (name.startsWith("property.")) return name.slice(9);
  if (name.startsWith("user.")) return `User: ${name.slice(5)}`;
  return DIMENSIONS[name] ?? words(name);
}

export const isGoodWhenFalling = (metric: string): boolean => FALLS_ARE_GOOD.has(metric);

const REGIONS = new Intl.DisplayNames("en", { type: "region", fallback: "code" });
const LANGUAGES = new Intl.DisplayNames("en", { type: "language", fallback: "code" });

function named(names: Intl.DisplayNames, code: string): string {
  try {
    return names.of(code) ?? code;
  } catch {
    return code;
  }
}

export function valueName(dimension: string, value: string): string {
  if (value === "(none)") return absentName(dimension);
  if (value === "(other)") return "Other";
  if (dimension === "country" && /^[A-Z]{2}$/.test(value)) return named(REGIONS, value);
  if (dimension === "language" && /^[a-z]{2,3}(-[A-Za-z]{2,4})?$/.test(value)) return named(LANGUAGES, value);
  if (dimension === "event") return EVENTS[value] ?? value;
  if (["source", "device", "channel", "status"].includes(dimension)) return VALUES[value] ?? words(value);
  return value;
}

/** What stands for a row in an address: the API's own values. */
export const rowValues = (dimensions: Record<string, string>): string => Object.values(dimensions).join(",");

export const rowName = (dimensions: Record<string, string>): string =>
  Object.entries(dimensions)
    .map(([dimension, value]) => valueName(dimension, value))
    .join(" · ") || "All";
