// The same visits through each SDK for Node: `node send.mjs SDK HOST KEY`.
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [sdk, host, key] = process.argv.slice(2);
const CLICKS = 20;
const ORDER = { order_id: "o-1", revenue: 12.5, currency: "EUR" };

function sendCalls(client) {
  client.identify({ userId: "u-0", traits: { plan: "pro" } });
  for (let number = 0; number < CLICKS; number++)
    client.track({ userId: `u-${number % 5}`, event: "Clicked", properties: { number } });
  client.track({ userId: "u-0", event: "Order Completed", properties: ORDER });
}

async function sendBySegment() {
  const { Analytics } = require("@segment/analytics-node");
  const client = new Analytics({ writeKey: key, host, flushInterval: 200 });
  client.on("error", (error) => console.error(JSON.stringify(error)));
  sendCalls(client);
  await client.closeAndFlush({ timeout: 40_000 });
}

async function sendByRudderstack() {
  const RudderAnalytics = require("@rudderstack/rudder-sdk-node");
  const client = new RudderAnalytics(key, { dataPlaneUrl: host, flushInterval: 200, flushAt: 20 });
  sendCalls(client);
  await new Promise((done) => setTimeout(done, 500));
  await client.flush();
}

// Umami's client sends no event again after a failure, and names no person.
async function sendByUmami() {
  const { default: umami } = require("@umami/node");
  umami.init({ websiteId: key, hostUrl: host, userAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0" });
  await umami.track({ url: "/prices", hostname: "shop.example", title: "Prices" });
  for (let number = 0; number < CLICKS; number++) await umami.track("Clicked", { number });
  await umami.track("Order Completed", ORDER);
}

await { segment: sendBySegment, rudderstack: sendByRudderstack, umami: sendByUmami }[sdk]();
