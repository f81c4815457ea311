// The auction, written plainly: Fastify in front, an undici pool for each bidder behind.
//
// PORT says where to listen, BIDDERS (URLs, with commas between) whom to ask for a price.

import { randomUUID } from "node:crypto";
import { setMaxListeners } from "node:events";

import Fastify from "fastify";
import { Pool } from "undici";

const POOL_CONNECTIONS = 512;
const KEEP_ALIVE_MS = 60_000;
const OFFER_LIFE_MS = 300_000;
const SELLER_SHARE = 0.85;

const bidders = process.env.BIDDERS.split(",").map((text, index) => {
  const url = new URL(text);
  return {
    index,
    campaignId: `campaign-${index}`,
    path: url.pathname,
    pool: new Pool(url.origin, {
      connections: POOL_CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: 0, // the auction's own deadline is shorter, and exact
      bodyTimeout: 0,
    }),
  };
});

// Ask one bidder, and add its bid if it is one. A bidder that fails costs only its own bid.
async function ask(bidder, ping, pingId, signal, bids) {
  try {
    const answer = await bidder.pool.request({
      method: "POST",
      path: bidder.path,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ping_id: pingId,
        campaign_id: bidder.campaignId,
        vertical: ping.vertical,
        attributes: ping.attributes,
        mode: "exclusive",
        shares: 1,
        timeout_ms: ping.timeout_ms,
      }),
      signal,
    });
    if (answer.statusCode !== 200) {
      await answer.body.dump();
      return;
    }
    const { price, currency } = await answer.body.json();
    if (typeof price === "number" && price > 0 && currency === "USD") {
      bids.push({ index: bidder.index, price });
    }
  } catch {
    // Too late, gone, or not JSON: no bid.
  }
}

// Every bid that came before the deadline.
async function collect(ping, pingId) {
  const bids = [];
  const ending = new AbortController();
  setMaxListeners(bidders.length + 1, ending.signal);
  let timer;
  const deadline = new Promise((resolve) => {
    timer = setTimeout(resolve, ping.timeout_ms);
  });
  const asked = bidders.map((bidder) => ask(bidder, ping, pingId, ending.signal, bids));
  let late = true;
  await Promise.race([
    deadline,
    Promise.all(asked).then(() => {
      late = false;
    }),
  ]);
  clearTimeout(timer);
  const kept = bids.slice();
  if (late) ending.abort();
  return kept;
}

const pingSchema = {
  type: "object",
  required: ["vertical", "attributes", "timeout_ms"],
  properties: {
    vertical: { type: "string" },
    attributes: { type: "object", additionalProperties: true },
    timeout_ms: { type: "integer", minimum: 1, maximum: 5_000 },
  },
};

const answerSchema = {
  type: "object",
  properties: {
    ping_id: { type: "string" },
    status: { type: "string" },
    price: { type: "number" },
    currency: { type: "string" },
    mode: { type: "string" },
    legs: {
      type: "array",
      items: {
        type: "object",
        properties: { leg_id: { type: "string" }, price: { type: "number" } },
      },
    },
    expires_at: { type: "string" },
  },
};

const server = Fastify({ logger: false });

server.post(
  "/v1/ping",
  { schema: { body: pingSchema, response: { 200: answerSchema } } },
  async (request) => {
    const ping = request.body;
    const pingId = randomUUID();
    const bids = await collect(ping, pingId);
    if (bids.length === 0) return { ping_id: pingId, status: "no_offer" };
    bids.sort((one, other) => other.price - one.price || one.index - other.index);
    const price = Math.round(bids[0].price * SELLER_SHARE * 100) / 100;
    return {
      ping_id: pingId,
      status: "offer",
      price,
      currency: "USD",
      mode: "exclusive",
      legs: [{ leg_id: `${pingId}-1`, price }],
      expires_at: new Date(Date.now() + OFFER_LIFE_MS).toISOString(),
    };
  },
);

await server.listen({ host: "127.0.0.1", port: Number(process.env.PORT), backlog: 2048 });
