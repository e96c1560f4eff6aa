// A program with the types of openapi-typescript. It is type-checked, and not run.
import createClient from "openapi-fetch";
import type { components, paths } from "./types";

const client = createClient<paths>({ baseUrl: "http://127.0.0.1:8000", headers: { Authorization: "Bearer KEY" } });

export async function orders(): Promise<number | null> {
    const { data, error } = await client.GET("/v1/metrics/{name}", {
        params: { path: { name: "orders" }, query: { from: "-1h", interval: "minute", breakdown: ["source"] } },
    });
    if (error) throw new Error(`${error.status} ${error.code}: ${error.detail}`);
    return typeof data === "string" ? null : (data.results[0]?.total ?? null);
}

export async function revenueByProduct(): Promise<(number | null)[]> {
    const query: components["schemas"]["Query"] = { metric: "revenue", breakdown: "product_id", filters: { source: "web" } };
    const { data } = await client.POST("/v1/query", { body: { queries: [query] } });
    return data?.answers.flatMap((answer) => answer.results.map((result) => result.total)) ?? [];
}

export async function view(): Promise<boolean> {
    const { data } = await client.POST("/v1/track", {
        body: { event: "Product Viewed", anonymousId: "a-1", properties: { product_id: "p-9", price: 12.5 } },
    });
    return data?.success ?? false;
}

export async function rename(id: string, version: string): Promise<components["schemas"]["Product"] | undefined> {
    const { data } = await client.PATCH("/v1/products/{id}", {
        params: { path: { id }, header: { "If-Match": version } },
        body: { name: "Lamp", status: "draft", attributes: { colours: ["red", null, { shade: 3 }] } },
    });
    return data;
}

// @ts-expect-error: there is no such metric
export const wrong: components["schemas"]["Query"] = { metric: "order" };
