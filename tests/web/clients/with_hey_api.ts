// A program with the client of @hey-api/openapi-ts. It is type-checked, and not run.
import { client } from "./client/client.gen";
import { collectTrack, createUser, listProducts, openSession, readMetric, readQueries } from "./client/sdk.gen";
import type { Problem, Product, Query, TrackCall, User } from "./client/types.gen";

client.setConfig({ baseUrl: "http://127.0.0.1:8000", auth: () => "KEY" });

export async function orders(): Promise<number | null> {
    const { data, error } = await readMetric({ path: { name: "orders" }, query: { from: "-1h", interval: "minute" } });
    if (error) throw new Error(tell(error));
    return data?.results[0]?.total ?? null;
}

export async function several(): Promise<string[]> {
    const queries: Query[] = [{ metric: "visitors", compare: "previous_period" }, { metric: "revenue", limit: null }];
    const { data } = await readQueries({ body: { queries }, throwOnError: true });
    return data.answers.map((answer) => `${answer.metric} in ${answer.unit} as of ${answer.meta.as_of}`);
}

export async function view(): Promise<boolean> {
    const body: TrackCall = { event: "Product Viewed", userId: "u-4", properties: { product_id: "p-9" } };
    return (await collectTrack({ body, throwOnError: true })).data.success;
}

export async function make(): Promise<User> {
    return (await createUser({ body: { id: "u-4", traits: { plan: "pro" } }, throwOnError: true })).data;
}

export async function drafts(): Promise<Product[]> {
    const { data } = await listProducts({ query: { status: "draft", sort: "-created_at" }, throwOnError: true });
    return typeof data === "string" ? [] : data.items;
}

export async function signIn(): Promise<string | null> {
    return (await openSession({ body: { key: "KEY" }, throwOnError: true })).data.expires_at;
}

function tell(problem: Problem): string {
    return `${problem.status} ${problem.code}: ${problem.detail}`;
}

// @ts-expect-error: an event has a name
export const wrong: TrackCall = { userId: "u-4" };
