import { serve as listen, type ServerType } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import pLimit from 'p-limit';
import { z } from 'zod';
import { NdArray, pickle, unpickle } from '../remote/pickle';
import type { EncodedImage, Scorer, Scores } from '../scorer';

export interface ServeOptions {
  /** Default 0: any free one. */
  port?: number;
  /** Default 127.0.0.1. There is no authentication: let only trusted networks reach it. */
  hostname?: string;
  /** Requests scored at once. Default 1. */
  concurrency?: number;
  /** Requests that may wait; further ones get status 503. Default 64. */
  maxQueue?: number;
  /** Largest request in bytes. Default 256 MiB. */
  maxBodyBytes?: number;
}

export interface RewardServer {
  readonly url: string;
  /** Refuses new requests, finishes those it has, and stops listening. */
  close(): Promise<void>;
}

interface Batch {
  images: EncodedImage[];
  prompts: string[];
  metadata: Record<string, unknown>[];
}

const Request = z.object({
  images: z.array(z.base64()),
  prompts: z.array(z.string()).optional(),
  metadata: z.array(z.record(z.string(), z.unknown())).optional(),
});

/** A request that cannot be scored as it is. */
class BadRequest extends Error {}

/**
 * A reward server around a scorer. `POST /score`: JSON with `images` (files in base64), `prompts`,
 * `metadata`, answered by `scores` and `details` (NaN as null). `POST /`: flow_grpo's pickles with `images`,
 * `prompts` or `meta_datas`, answered by `outputs`. `GET /health`, and `GET /metrics` in Prometheus' text
 * format. Failures of the scorer are status 500 with the message.
 */
export async function serve(scorer: Scorer, options: ServeOptions = {}): Promise<RewardServer> {
  const {
    port = 0,
    hostname = '127.0.0.1',
    concurrency = 1,
    maxQueue = 64,
    maxBodyBytes = 256 * 2 ** 20,
  } = options;
  const limit = pLimit(concurrency);
  const counts = { requests: 0, images: 0, failures: 0, refused: 0 };
  const underWay = new Set<Promise<unknown>>();
  let draining = false;

  const answer = async (
    context: Context,
    read: () => Promise<Batch>,
    write: (scores: Scores) => Response,
  ): Promise<Response> => {
    if (draining || limit.pendingCount >= maxQueue) {
      counts.refused++;
      return context.text(draining ? 'shutting down' : 'too many requests wait', 503, { 'retry-after': '1' });
    }
    counts.requests++;
    try {
      const { images, prompts, metadata } = await read();
      const scoring = limit(() =>
        scorer.score(images, prompts, metadata, { signal: context.req.raw.signal }),
      );
      const scores = await scoring;
      counts.images += images.length;
      return write(scores);
    } catch (error) {
      counts.failures++;
      const message = error instanceof Error ? error.message : String(error);
      return context.text(message, error instanceof BadRequest ? 400 : 500);
    }
  };
  const tracked = (answering: Promise<Response>): Promise<Response> => {
    underWay.add(answering);
    return answering.finally(() => underWay.delete(answering));
  };

  const app = new Hono();
  app.use(bodyLimit({ maxSize: maxBodyBytes }));
  app.get('/health', (context) =>
    context.json({ status: draining ? 'draining' : 'ok', scorer: scorer.name }, draining ? 503 : 200),
  );
  app.get('/metrics', (context) => {
    const totals = Object.entries(counts).map(([key, value]) => `flow_grpo_reward_${key}_total ${value}`);
    return context.text([...totals, `flow_grpo_reward_queue ${limit.pendingCount}`, ''].join('\n'));
  });
  app.post('/score', (context) =>
    tracked(
      answer(
        context,
        async () => readJson(await context.req.text()),
        (scores) => context.json(scores),
      ),
    ),
  );
  app.post('/', (context) =>
    tracked(
      answer(
        context,
        async () => readPickle(new Uint8Array(await context.req.arrayBuffer())),
        ({ scores }) => new Response(Uint8Array.from(pickle({ outputs: scores }))),
      ),
    ),
  );

  const server = await new Promise<ServerType>((ready, fail) => {
    const listening = listen({ fetch: app.fetch, port, hostname }, () => ready(listening));
    listening.once('error', fail);
  });
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${hostname}:${bound}`,
    async close() {
      draining = true;
      await Promise.allSettled(underWay);
      const closed = new Promise<void>((done) => server.close(() => done()));
      if ('closeIdleConnections' in server) server.closeIdleConnections();
      await closed;
    },
  };
}

function batchOf(images: Uint8Array[], prompts?: string[], metadata?: Record<string, unknown>[]): Batch {
  const batch = {
    images: images.map((bytes) => ({ bytes })),
    prompts: prompts ?? images.map(() => ''),
    metadata: metadata ?? images.map(() => ({})),
  };
  if (batch.prompts.length !== images.length || batch.metadata.length !== images.length) {
    throw new BadRequest('images, prompts and metadata differ in length');
  }
  return batch;
}

function readJson(text: string): Batch {
  try {
    const { images, prompts, metadata } = Request.parse(JSON.parse(text));
    return batchOf(
      images.map((image) => Buffer.from(image, 'base64')),
      prompts,
      metadata,
    );
  } catch (error) {
    throw new BadRequest(error instanceof Error ? error.message : String(error));
  }
}

function readPickle(body: Uint8Array): Batch {
  let request: unknown;
  try {
    request = unpickle(body);
  } catch (error) {
    throw new BadRequest(error instanceof Error ? error.message : String(error));
  }
  const field = (key: string): unknown[] | undefined => {
    const value = request instanceof Map ? request.get(key) : undefined;
    const list = value instanceof NdArray ? value.values : value;
    return Array.isArray(list) ? list : undefined;
  };
  const images = field('images');
  if (!images?.every((image) => image instanceof Uint8Array))
    throw new BadRequest('no list of bytes under images');
  const metadata = field('meta_datas')?.map((item) => plain(item) as Record<string, unknown>);
  const prompts = field('prompts')?.map(String) ?? metadata?.map((item) => String(item?.prompt ?? ''));
  return batchOf(images, prompts, metadata);
}

/** Dictionaries with text keys as objects; `__proto__` stays plain data. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map)
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  return value;
}
