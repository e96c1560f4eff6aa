// Names of products, from the catalog: asked once each, kept while the page is open. What is not there is said so.
import { signal } from "@preact/signals";
import { ApiProblem, get } from "../api/client";
import type { Page } from "../api/types";

export interface Product {
  id: string;
  name: string;
  category: string | null;
  brand: string | null;
  price: number | null;
  currency: string | null;
  image_url: string | null;
  attributes: Record<string, unknown>;
  status: string;
}

const FIRST = 500;
const AT_ONCE = 6;

/** By id; null: the catalog does not have it. */
export const products = signal<ReadonlyMap<string, Product | null>>(new Map());
let isListed = false;
const asked = new Set<string>();

function add(entries: [string, Product | null][]): void {
  products.value = new Map([...products.peek(), ...entries]);
}

export async function needProducts(ids: string[]): Promise<void> {
  if (!isListed) {
    isListed = true;
    await get<Page<Product>>(`/v1/products?limit=${FIRST}`).then(
      ({ items }) => add(items.map((item) => [item.id, item])),
      () => {},
    );
  }
  const missing = ids.filter((id) => !products.peek().has(id) && !asked.has(id));
  for (const id of missing) asked.add(id);
  for (let start = 0; start < missing.length; start += AT_ONCE) {
    add((await Promise.all(missing.slice(start, start + AT_ONCE).map(readOne))).filter((entry) => entry !== null));
  }
}

async function readOne(id: string): Promise<[string, Product | null] | null> {
  try {
    return [id, await get<Product>(`/v1/products/${encodeURIComponent(id)}`)];
  } catch (error) {
    if (error instanceof ApiProblem && error.problem.status === 404) return [id, null];
    asked.delete(id);
    return null;
  }
}

export function forgetProduct(id: string): void {
  asked.delete(id);
  const next = new Map(products.peek());
  next.delete(id);
  products.value = next;
}
