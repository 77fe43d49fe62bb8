import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerType } from '@hono/node-server';
import type { Context } from 'hono';
import pLimit from 'p-limit';
import type { Scorer, Scores } from '../scorer';
import { answerPickle } from './geneval-answer';
import { checkImages, type RequestLimits } from './limits';
import { refusedOrigin } from './origin';
import { BadRequest, type Batch, readForm, readJson, readPickle, received } from './requests';

/** Connections at a time. */
const MAX_CONNECTIONS = 1024;
/** How long requests under way have to be sent to their end when the server closes. */
const CLOSING_MS = 2000;

export interface ServeOptions {
  /** Default 0: any free one. */
  port?: number;
  /** Default 127.0.0.1. There is no authentication: let only trusted networks reach it. Web pages of others cannot. */
  hostname?: string;
  /** Requests scored at once. Default 1. */
  concurrency?: number;
  /** Requests that may wait; further ones get status 503. Default 64. */
  maxQueue?: number;
  /** Largest request in bytes. Default 256 MiB. */
  maxBodyBytes?: number;
  /** Most images of a request. Default 1024. */
  maxImages?: number;
  /** Most pixels of an image, by the header of its file. Default 16,777,216 (4096 × 4096). */
  maxPixels?: number;
  /** Most pixels of all images of a request. Default 268,435,456 (1024 images of 512 × 512). */
  maxTotalPixels?: number;
  /** Names, beside addresses and this machine's own, by which clients reach the server. */
  allowedHosts?: readonly string[];
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
 * format. What is wrong with a request is status 400 (403 for web pages of others, 413 for one too large), failures of
 * the scorer are 500, each with a message. Files are PNG, JPEG, WebP, GIF, TIFF or AVIF.
 */
export async function serveScorer(scorer: Scorer, options: ServeOptions = {}): Promise<RewardServer> {
  const {
    port = 0,
    hostname = '127.0.0.1',
    concurrency = 1,
    maxQueue = 64,
    maxBodyBytes = 256 * 2 ** 20,
    allowedHosts = [],
  } = options;
  const limits: RequestLimits = {
    maxImages: options.maxImages ?? 1024,
    maxPixels: options.maxPixels ?? 2 ** 24,
    maxTotalPixels: options.maxTotalPixels ?? 2 ** 28,
  };
  const limit = pLimit(concurrency);
  const counts = { requests: 0, images: 0, failures: 0, refused: 0, seconds: 0 };
  const answering = new Map<ServerResponse, IncomingMessage>();
  /** Requests read, waiting or scored: counted before any of the body is read, so that bodies are bounded too. */
  let accepted = 0;
  let draining = false;

  const answer = async (
    context: Context,
    read: () => Promise<Batch>,
    write: (scores: Scores, batch: Batch) => Response,
  ): Promise<Response> => {
    try {
      const batch = await read();
      await checkImages(batch.images, limits);
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
    }
  };
  const [{ serve: listen }, { Hono }, { bodyLimit }] = await Promise.all([
    import('@hono/node-server'),
    import('hono'),
    import('hono/body-limit'),
  ]);
  const app = new Hono();
  app.use(async (context, next) => {
    const headers = {
      host: context.req.header('host'),
      origin: context.req.header('origin'),
      site: context.req.header('sec-fetch-site'),
    };
    const refused = refusedOrigin(headers, hostname, allowedHosts);
    if (refused === undefined) return next();
    counts.refused++;
    return context.text(refused, 403);
  });
  app.on('POST', ['/', '/score'], async (context, next) => {
    if (draining || accepted >= concurrency + maxQueue) {
      counts.refused++;
      return context.text(draining ? 'shutting down' : 'too many requests wait', 503, { 'retry-after': '1' });
    }
    counts.requests++;
    accepted++;
    try {
      await next();
    } finally {
      accepted--;
    }
  });
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
          ? readForm(await received(context.req.formData()))
          : readJson(await received(context.req.text())),
      (scores) => context.json(scores),
    ),
  );
  app.post('/', (context) =>
    answer(
      context,
      async () => readPickle(new Uint8Array(await received(context.req.arrayBuffer()))),
      (scores, batch) => new Response(Uint8Array.from(answerPickle(scores, batch))),
    ),
  );

  const server = await new Promise<ServerType>((ready, fail) => {
    const listening = listen({ fetch: app.fetch, port, hostname }, () => ready(listening));
    listening.once('error', fail);
  });
  // A connection that cannot be taken, for want of file descriptors, is that client's loss alone.
  server.on('error', () => {});
  server.maxConnections = MAX_CONNECTIONS;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answering.set(response, request);
    response.once('close', () => answering.delete(response));
  });
  const address = server.address();
  const bound = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://${hostname}:${bound}`,
    async close() {
      draining = true;
      // A request that is never sent to its end would hold up everybody else's.
      const cut = setInterval(() => {
        for (const request of answering.values()) if (!request.complete) request.socket.destroy();
      }, CLOSING_MS);
      while (answering.size > 0)
        await Promise.race([...answering.keys()].map((answer) => once(answer, 'close')));
      clearInterval(cut);
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
