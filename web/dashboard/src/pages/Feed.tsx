// The feed: what arrives, as the platform understood it, with what was refused and why. It says what it leaves out.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { FeedItem } from "../api/types";
import { connection, isPaused, pause } from "../live/board";
import { type FeedFilter, useFeed } from "../live/feed";
import { Card, Empty, ProblemNote, Skeleton } from "../parts/Card";
import { Chips } from "../parts/FilterBar";
import { Segments, Select } from "../parts/Select";
import { plural } from "../show/numbers";
import { valueName } from "../show/names";
import { metrics, setFilter, setMore, view } from "../state/app";
import { EventDrawer } from "./feed/EventDrawer";
import { EventRows } from "./feed/EventRows";

const ROWS = 200;
const EVENTS = ["$page", "Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Order Refunded", "$identify"];
const SOURCES = ["web", "ios", "android", "server"];

/** The filters of the address that a feed knows. */
function filterOf(): FeedFilter {
  const { event, source, product_id: product } = view.value.filters;
  const { person } = view.value.more;
  return { ...(event ? { event } : {}), ...(source ? { source } : {}), ...(product ? { product } : {}), ...(person ? { person: [person] } : {}) };
}

export default function Feed() {
  const feed = useFeed(filterOf(), ROWS);
  const frozen = useSignal<FeedItem[] | null>(null);
  const isHovered = useSignal(false);
  const opened = useSignal<FeedItem | null>(null);
  const person = useSignal(view.value.more.person ?? "");
  useEffect(() => {
    person.value = view.value.more.person ?? "";
  }, [view.value.more.person]);
  const place = useRef<HTMLDivElement>(null);
  const isScrolled = useSignal(false);
  useEffect(() => {
    const onScroll = (): void => {
      isScrolled.value = scrollY > 160;
    };
    addEventListener("scroll", onScroll, { passive: true });
    return () => removeEventListener("scroll", onScroll);
  }, []);
  const isHeld = useComputed(() => isPaused.value || isHovered.value || isScrolled.value);
  useEffect(() => {
    frozen.value = isHeld.value ? feed.items : null;
  }, [isHeld.value]);
  const show = view.value.more.status ?? "";
  const items = (isHeld.value && frozen.value ? frozen.value : (feed.items ?? [])).filter((item) => !show || (show === "refused" ? ["dead", "rejected"].includes(item.status) : item.status === show));
  const newest = frozen.value?.[0]?.received_at ?? "";
  const fresh = isHeld.value && frozen.value ? (feed.items ?? []).filter((item) => (item.received_at ?? "") > newest).length : 0;
  const faults = (feed.items ?? []).filter(({ status }) => status === "dead" || status === "rejected").length;
  return (
    <div class="page">
      <h1 class="hidden">Feed</h1>
      <div class="filter-bar">
        <Select label="Event" isLabelHidden value={view.value.filters.event?.[0] ?? ""} options={[{ value: "", name: "All events" }, ...namesOf("event", EVENTS)]} choose={(name) => setFilter("event", name ? [name] : [])} />
        <Select label="Source" isLabelHidden value={view.value.filters.source?.[0] ?? ""} options={[{ value: "", name: "All sources" }, ...namesOf("source", SOURCES)]} choose={(name) => setFilter("source", name ? [name] : [])} />
        <form
          class="search"
          onSubmit={(event) => {
            event.preventDefault();
            setMore({ person: person.value.trim() });
          }}
        >
          <input aria-label="userId or anonymousId" placeholder="userId or anonymousId" value={person.value} onInput={(event) => (person.value = event.currentTarget.value)} />
        </form>
        <Segments label="Which" value={show} options={[["", "All"], ["counted", "Counted"], ["refused", `Refused (${faults})`]]} choose={(status) => setMore({ status })} />
        <Chips />
        <span class="feed-note quiet">
          {connection.value === "live" ? "as they arrive" : "every 3 s"} · {plural(items.length, "event")} shown
          {feed.leftOut > 0 && ` · ${plural(feed.leftOut, "event")} left out: a feed is a sample, the numbers are not`}
        </span>
      </div>
      {fresh > 0 && (
        <button
          type="button"
          class="button primary fresh"
          onClick={() => {
            if (isPaused.value) pause();
            frozen.value = feed.items;
            scrollTo(0, 0);
          }}
        >
          ↑ {fresh} new
        </button>
      )}
      <Card label="Events">
        <div ref={place} onPointerEnter={() => (isHovered.value = true)} onPointerLeave={() => (isHovered.value = false)}>
          {feed.problem && !feed.items ? (
            <ProblemNote problem={feed.problem} />
          ) : !feed.items ? (
            <Skeleton rows={12} />
          ) : items.length ? (
            <EventRows items={items} open={(item) => (opened.value = item)} />
          ) : (
            <Empty>{show === "refused" ? "None of the newest events was refused." : "No event among the newest fits. This page listens."}</Empty>
          )}
        </div>
      </Card>
      {opened.value && <EventDrawer item={opened.value} close={() => (opened.value = null)} />}
    </div>
  );
}

function namesOf(dimension: string, values: string[]): { value: string; name: string }[] {
  const chosen = view.value.filters[dimension] ?? [];
  const isListed = metrics.value.size > 0;
  return [...new Set([...values, ...(isListed ? chosen : [])])].map((value) => ({ value, name: valueName(dimension, value) }));
}
