/** What must hold for every damaged request and answer; the counts are the tests'. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { request as send } from 'undici';
import { expect } from 'vitest';
import { plainText } from '../plain-text';
import type { Scorer } from '../scorer';
import { rewardServerClient } from '../server/client';
import { serveScorer } from '../server/serve';
import { fuzzRequest, fuzzResponse } from './fuzz.testing';
import { deqa, geneval } from './servers';

/** Requests sent at once. */
const LANES = 8;

async function inLanes(first: number, count: number, run: (seed: number) => Promise<void>): Promise<void> {
  let next = first;
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (let seed = next++; seed < first + count; seed = next++) await run(seed);
    }),
  );
}

/** The server answers each request with 200, 400 or 413 and a text, scores what it lets through, and goes on. */
export async function fuzzRequests(first: number, count: number): Promise<Map<number, number>> {
  const statuses = new Map<number, number>();
  const scorer: Scorer = {
    name: 'counting',
    async score(images, prompts, metadata) {
      expect([images, prompts, metadata].map((list) => Array.isArray(list) && list.length)).toEqual(
        new Array(3).fill(prompts.length),
      );
      expect(prompts.every((prompt) => typeof prompt === 'string')).toBe(true);
      expect(metadata.every((one) => one !== null && typeof one === 'object')).toBe(true);
      return { scores: prompts.map(() => 1), details: { strict: prompts.map(() => 1) } };
    },
  };
  const server = await serveScorer(scorer, { maxBodyBytes: 2 ** 20, maxImages: 8 });
  await inLanes(first, count, async (seed) => {
    const { path, type, body } = fuzzRequest(seed);
    const answer = await send(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body,
    });
    const text = await answer.body.text();
    expect([seed, [200, 400, 413]], text).toEqual([seed, expect.arrayContaining([answer.statusCode])]);
    expect(text.length).toBeGreaterThan(0);
    statuses.set(answer.statusCode, (statuses.get(answer.statusCode) ?? 0) + 1);
  });
  expect((await fetch(`${server.url}/health`)).status).toBe(200);
  await server.close();
  return statuses;
}

/** The client of each answer gives two scores and details that fit, or an Error without control characters. */
export async function fuzzResponses(
  first: number,
  count: number,
): Promise<{ scored: number; refused: number }> {
  const http = createServer((incoming, outgoing) => {
    incoming.resume();
    const { status, headers, body } = fuzzResponse(Number(/^\/(\d+)/.exec(incoming.url ?? '')?.[1] ?? 0));
    outgoing.writeHead(status, headers).end(body);
  });
  await new Promise<void>((ready) => http.listen(0, '127.0.0.1', ready));
  const origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const image = { bytes: PIXEL };
  const result = { scored: 0, refused: 0 };
  await inLanes(first, count, async (seed) => {
    const options = { url: `${origin}/${seed}`, retries: 0, maxResponseBytes: 2 ** 20 };
    const clients = fuzzResponse(seed).kind === 'json' ? [rewardServerClient] : [deqa, geneval];
    for (const client of clients) {
      try {
        const { scores, details } = await client(options).score([image, image], ['a', 'b'], [{}, {}]);
        for (const list of [scores, ...Object.values(details)]) {
          expect(list.length).toBe(2);
          expect(list.every((value) => typeof value === 'number')).toBe(true);
        }
        result.scored++;
      } catch (error) {
        expect([seed, error]).toEqual([seed, expect.any(Error)]);
        const { message } = error as Error;
        expect([seed, plainText(message)]).toEqual([seed, message]);
        expect([seed, (error as Error).name]).not.toEqual([seed, 'AssertionError']);
        result.refused++;
      }
    }
  });
  http.closeAllConnections();
  await new Promise((closed) => http.close(closed));
  return result;
}

const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);
