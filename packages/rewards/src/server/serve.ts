import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { serve as listen, type ServerType } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import pLimit from 'p-limit';
import type { Scorer, Scores } from '../scorer';
import { answerPickle } from './geneval-answer';
import { BadRequest, type Batch, readForm, readJson, readPickle } from './requests';

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

/**
 * A reward server around a scorer. `POST /score`: JSON with `images` (files in base64), `prompts`, `metadata`,
 * or a form with the files under `images` and the rest as JSON under `request`; answered by `scores` and
 * `details` (NaN as null). `POST /`: flow_grpo's pickles with `images`, `prompts` or `meta_datas`, answered by
 * `outputs` and, to metadata, by GenEval's groups. `GET /health`, and `GET /metrics` in Prometheus' text
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
  const counts = { requests: 0, images: 0, failures: 0, refused: 0, seconds: 0 };
  const answering = new Set<ServerResponse>();
  /** Requests read, waiting or scored: counted before the body is read, so that bodies are bounded too. */
  let accepted = 0;
  let draining = false;

  const answer = async (
    context: Context,
    read: () => Promise<Batch>,
    write: (scores: Scores, batch: Batch) => Response,
  ): Promise<Response> => {
    if (draining || accepted >= concurrency + maxQueue) {
      counts.refused++;
      return context.text(draining ? 'shutting down' : 'too many requests wait', 503, { 'retry-after': '1' });
    }
    counts.requests++;
    accepted++;
    try {
      const batch = await read();
      const { images, prompts, metadata } = batch;
      const { signal } = context.req.raw;
      const scores = await limit(async () => {
        const start = performance.now();
        try {
          return await scorer.score(images, prompts, metadata, { signal });
        } finally {
          counts.seconds += (performance.now() - start) / 1000;
        }
      });
      counts.images += images.length;
      return write(scores, batch);
    } catch (error) {
      counts.failures++;
      const message = error instanceof Error ? error.message : String(error);
      return context.text(message, error instanceof BadRequest ? 400 : 500);
    } finally {
      accepted--;
    }
  };
  const app = new Hono();
  app.use(bodyLimit({ maxSize: maxBodyBytes }));
  app.get('/health', (context) =>
    context.json({ status: draining ? 'draining' : 'ok', scorer: scorer.name }, draining ? 503 : 200),
  );
  app.get('/metrics', (context) => {
    const totals = Object.entries(counts).map(([key, value]) => metric(`${key}_total`, 'counter', value));
    const gauges = [
      metric('queue', 'gauge', limit.pendingCount),
      metric('scoring', 'gauge', limit.activeCount),
    ];
    return context.text([...totals, ...gauges].join(''), 200, {
      'content-type': 'text/plain; version=0.0.4',
    });
  });
  app.post('/score', (context) =>
    answer(
      context,
      async () =>
        context.req.header('content-type')?.startsWith('multipart/form-data')
          ? readForm(await context.req.formData())
          : readJson(await context.req.text()),
      (scores) => context.json(scores),
    ),
  );
  app.post('/', (context) =>
    answer(
      context,
      async () => readPickle(new Uint8Array(await context.req.arrayBuffer())),
      (scores, batch) => new Response(Uint8Array.from(answerPickle(scores, batch))),
    ),
  );

  const server = await new Promise<ServerType>((ready, fail) => {
    const listening = listen({ fetch: app.fetch, port, hostname }, () => ready(listening));
    listening.once('error', fail);
  });
  server.on('request', (_: unknown, response: ServerResponse) => {
    answering.add(response);
    response.once('close', () => answering.delete(response));
  });
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${hostname}:${bound}`,
    async close() {
      draining = true;
      while (answering.size > 0) await Promise.race([...answering].map((answer) => once(answer, 'close')));
      const closed = new Promise<void>((done) => server.close(() => done()));
      // Clients keep connections for later, some of which never carried a request and so do not count as idle.
      if ('closeAllConnections' in server) server.closeAllConnections();
      await closed;
    },
  };
}

/** A metric with its type, in Prometheus' text format. */
const metric = (name: string, type: 'counter' | 'gauge', value: number): string =>
  `# TYPE flow_grpo_reward_${name} ${type}\nflow_grpo_reward_${name} ${value}\n`;
