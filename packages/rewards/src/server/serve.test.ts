import { request, Server } from 'node:http';
import { connect } from 'node:net';
import { crc32, deflateSync } from 'node:zlib';
import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it, vi } from 'vitest';
import { jpegIncompressibility } from '../jpeg/jpeg-size';
import { deqa, geneval, unifiedReward } from '../remote';
import type { Scorer } from '../scorer';
import { shapeEval } from '../shapes';
import { rewardServerClient } from './client';
import { serveScorer } from './serve';

const lengths: Scorer = {
  name: 'lengths',
  score: async (_, prompts) => ({ scores: prompts.map((prompt) => prompt.length), details: { half: [0.5] } }),
};
const pixel = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==',
  'base64',
);
const post = (url: string, body: unknown) =>
  fetch(`${url}/score`, { method: 'POST', body: JSON.stringify(body) });

describe('serve', () => {
  it('answers JSON and the pickles of the remote clients', async () => {
    const server = await serveScorer(lengths);
    const answer = await post(server.url, { images: [pixel.toString('base64')], prompts: ['four'] });
    expect(await answer.json()).toEqual({ scores: [4], details: { half: [0.5] } });
    const remote = unifiedReward({ url: server.url });
    const images = ['a', 'bb', 'ccc'].map(() => ({ bytes: pixel }));
    expect((await remote.score(images, ['a', 'bb', 'ccc'], [{}, {}, {}])).scores).toEqual([1, 2, 3]);
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ok', scorer: 'lengths' });
    expect(await (await fetch(`${server.url}/metrics`)).text()).toMatch(
      /# TYPE flow_grpo_reward_images_total counter\nflow_grpo_reward_images_total 4\n/,
    );
    await server.close();
  });

  it('decodes the files it is sent', async () => {
    const server = await serveScorer(jpegIncompressibility());
    const { scores } = await deqa({ url: server.url }).score([{ bytes: pixel }], [''], [{}]);
    expect(scores[0]).toBeGreaterThan(0.6);
    await server.close();
  });

  it("answers GenEval's clients with rewards by task kind", async () => {
    const {
      images: pixels,
      shape,
      prompts,
      metadata,
    } = sceneBatch(shapeScenes({ size: 64, seed: 3 }), 0, 12);
    const images = tf.tensor4d(pixels, shape);
    const asked = [...metadata.slice(6), ...metadata.slice(0, 6)]; // of other scenes
    const direct = await shapeEval().score(images, prompts, asked);
    const server = await serveScorer(shapeEval());
    const { scores, details } = await geneval({ url: server.url, batchSize: 5 }).score(
      images,
      prompts,
      asked,
    );
    expect(details.strict_accuracy).toEqual(direct.details.strict);
    expect(scores).toHaveLength(12);
    for (const [i, { tag }] of asked.entries()) {
      for (const kind of ['counting', 'colors', 'position', 'color_attr', 'single_object', 'two_object']) {
        expect(details[`${kind}_strict_accuracy`]![i]).toBe(
          kind === tag ? direct.details.strict![i] : Number.NaN,
        );
      }
    }
    await server.close();
    images.dispose();
  });

  it('gives its own client the scores and details of the scorer, for tensors and files', async () => {
    const { images: pixels, shape, prompts, metadata } = sceneBatch(shapeScenes({ size: 64, seed: 4 }), 0, 7);
    const images = tf.tensor4d(pixels, shape);
    const server = await serveScorer(shapeEval(), { concurrency: 2 });
    const client = rewardServerClient({ url: `${server.url}/`, batchSize: 3 });
    expect(await client.score(images, prompts, metadata)).toEqual(
      await shapeEval().score(images, prompts, metadata),
    );
    images.dispose();
    await server.close();
    const sizes = await serveScorer(jpegIncompressibility());
    const local = await jpegIncompressibility().score([{ bytes: pixel }], [''], [{}]);
    expect(await rewardServerClient({ url: sizes.url }).score([{ bytes: pixel }], [''], [{}])).toEqual(local);
    const failing = rewardServerClient({ url: sizes.url, retries: 1, pause: 1 });
    await expect(failing.score([{ bytes: Uint8Array.of(1) }], [''], [{}])).rejects.toThrow(
      'cannot be decoded',
    );
    await expect(
      rewardServerClient({ url: `${sizes.url}/health`, retries: 0 }).score([{ bytes: pixel }], [''], [{}]),
    ).rejects.toThrow('status 404');
    await sizes.close();
  });

  it('aborts the scoring when the client goes away, and serves the next one', async () => {
    const reasons: unknown[] = [];
    const patient: Scorer = {
      name: 'patient',
      score: (_, [prompt], __, { signal } = {}) =>
        prompt === 'wait'
          ? new Promise((_resolve, reject) => {
              signal!.addEventListener('abort', () => {
                reasons.push(signal!.reason);
                reject(signal!.reason);
              });
            })
          : Promise.resolve({ scores: [1], details: {} }),
    };
    const server = await serveScorer(patient);
    const client = rewardServerClient({ url: server.url, retries: 0 });
    const stop = new AbortController();
    const waiting = client.score([{ bytes: pixel }], ['wait'], [{}], { signal: stop.signal });
    const scoring = async () =>
      (await (await fetch(`${server.url}/metrics`)).text()).includes('\nflow_grpo_reward_scoring 1\n');
    while (!(await scoring())) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect((await client.score([{ bytes: pixel }], ['go'], [{}])).scores).toEqual([1]);
    expect(reasons).toHaveLength(1);
    await server.close();
  });

  it('gets whole numbers of 64 bits, as Parquet has them, as numbers or as their digits', async () => {
    const got: unknown[] = [];
    const keeping: Scorer = {
      name: 'keeping',
      async score(_, prompts, metadata) {
        got.push(...metadata);
        return { scores: prompts.map(() => 1), details: {} };
      },
    };
    const server = await serveScorer(keeping);
    const metadata = { include: [{ class: 'cat', count: 2n }], seed: 2n ** 60n, small: -3n };
    await rewardServerClient({ url: server.url }).score([{ bytes: pixel }], ['p'], [metadata]);
    const plain = { include: [{ class: 'cat', count: 2 }], seed: String(2n ** 60n), small: -3 };
    await geneval({ url: server.url, retries: 0 }).score(
      [{ bytes: pixel }],
      ['p'],
      [{ ...metadata, tag: 'counting' }],
    );
    await server.close();
    expect(got).toEqual([
      plain,
      { include: [{ class: 'cat', count: 2 }], seed: 2n ** 60n, small: -3, tag: 'counting' },
    ]);
  });

  it('tells what is wrong with a request, and reports failures', async () => {
    const server = await serveScorer(jpegIncompressibility());
    expect((await post(server.url, { images: 'none' })).status).toBe(400);
    expect((await post(server.url, { images: [], prompts: ['x'] })).status).toBe(400);
    expect((await fetch(server.url, { method: 'POST', body: 'cos\nsystem\n.' })).status).toBe(400);
    const broken = await post(server.url, { images: ['AAAA'] });
    expect(broken.status).toBe(400);
    expect(await broken.text()).toContain('cannot be decoded');
    const cut = await post(server.url, { images: [pixel.subarray(0, 45).toString('base64')] });
    expect(cut.status).toBe(500);
    expect(await cut.text()).toContain('image 0 cannot be decoded');
    await server.close();
  });

  const form = 'multipart/form-data; boundary=x';
  const part = (name: string, body: string) =>
    `--x\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${body}\r\n`;
  it.each<[string, string, string, string]>([
    ['a form cut short', '/score', form, '--x\r\ncontent-disposition: form-data; name="images"\r\n\r\nabc'],
    ['a form without a boundary', '/score', 'multipart/form-data', part('images', 'abc')],
    ['a form of another boundary', '/score', form, 'nothing of the kind'],
    ['a form whose request is no JSON', '/score', form, `${part('request', '{')}--x--\r\n`],
    ['a form whose prompts are numbers', '/score', form, `${part('request', '{"prompts":[1]}')}--x--\r\n`],
    ['no JSON', '/score', 'application/json', '{'],
    ['nothing', '/score', 'application/json', ''],
    ['JSON of another kind', '/score', 'application/json', '[]'],
    ['images that are no base64', '/score', 'application/json', '{"images":["§§§§"]}'],
    ['no pickle', '/', 'application/octet-stream', 'hello'],
    ['a pickle of another kind', '/', 'application/octet-stream', '\x80\x04N.'],
    [
      'metadata that are none',
      '/',
      'application/octet-stream',
      '}(X\x06\0\0\0images](C\x00eX\x0a\0\0\0meta_datas](NeK\x00K\x00u.',
    ],
  ])('answers 400 to %s', async (_, path, type, body) => {
    const server = await serveScorer(jpegIncompressibility());
    const answer = await fetch(`${server.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: Buffer.from(body, 'latin1'),
    });
    expect([answer.status, (await answer.text()).length > 0]).toEqual([400, true]);
    await server.close();
  });

  /** A PNG of these sizes without a pixel. */
  const header = (width: number, height: number) => {
    const chunk = (type: string, data: Buffer) => {
      const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
      const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
      length.writeUInt32BE(data.length);
      sum.writeUInt32BE(crc32(body));
      return Buffer.concat([length, body, sum]);
    };
    const size = Buffer.alloc(13);
    size.writeUInt32BE(width, 0);
    size.writeUInt32BE(height, 4);
    size.set([8, 2, 0, 0, 0], 8);
    const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
    const empty = chunk('IDAT', deflateSync(Buffer.alloc(0)));
    return Buffer.concat([signature, chunk('IHDR', size), empty, chunk('IEND', Buffer.alloc(0))]).toString(
      'base64',
    );
  };

  it('decodes nothing beyond its limits', async () => {
    const server = await serveScorer(jpegIncompressibility(), {
      maxImages: 3,
      maxPixels: 1000,
      maxTotalPixels: 1500,
    });
    const refusal = async (...images: string[]) => {
      const answer = await post(server.url, { images });
      return [answer.status, await answer.text()];
    };
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="40000" height="40000"><rect width="9" height="9"/></svg>';
    expect(await refusal(header(10, 10), Buffer.from(svg).toString('base64'))).toEqual([
      400,
      'image 1 cannot be decoded: it is not PNG, JPEG, WebP, GIF, TIFF or AVIF',
    ]);
    expect(await refusal(header(1000, 2))).toEqual([
      400,
      'image 0 has 2000 pixels; at most 1000 are decoded',
    ]);
    expect(await refusal(header(65_000, 65_000))).toEqual([400, expect.stringContaining('at most 1000')]);
    const large = header(30, 30);
    expect(await refusal(large, large)).toEqual([400, expect.stringContaining('1800 pixels together')]);
    expect(await refusal(...new Array<string>(4).fill(large))).toEqual([
      400,
      expect.stringContaining('at most 3'),
    ]);
    expect((await post(server.url, { images: [pixel.toString('base64')] })).status).toBe(200);
    await server.close();
  });

  it('answers 413 to bodies beyond its limit, with and without a length', async () => {
    const server = await serveScorer(lengths, { maxBodyBytes: 1000 });
    const url = `${server.url}/score`;
    expect((await fetch(url, { method: 'POST', body: 'x'.repeat(1001) })).status).toBe(413);
    const body = new Blob(['x'.repeat(5000)]).stream();
    expect((await fetch(url, { method: 'POST', body, duplex: 'half' } as RequestInit)).status).toBe(413);
    await server.close();
  });

  describe('keeps web pages out', () => {
    const status = async (headers: Record<string, string>, path = '/score', method = 'POST') => {
      const server = await serveScorer(lengths, { allowedHosts: ['rewards.internal'] });
      const { port } = new URL(server.url);
      const answer = await new Promise<number>((done, fail) => {
        const own = Object.fromEntries(
          Object.entries(headers).map(([key, value]) => [key, value.replaceAll('PORT', port)]),
        );
        const sent = request({ host: '127.0.0.1', port, path, method, headers: own }, (response) => {
          response.resume();
          done(response.statusCode!);
        });
        sent.once('error', fail);
        sent.end(method === 'POST' ? JSON.stringify({ images: [pixel.toString('base64')] }) : undefined);
      });
      await server.close();
      return answer;
    };

    it.each<[number, Record<string, string>]>([
      [200, {}],
      [200, { host: 'localhost:PORT' }],
      [200, { host: '127.0.0.1:PORT', origin: 'http://127.0.0.1:PORT' }],
      [200, { host: '[::1]:PORT' }],
      [200, { host: 'rewards.internal:PORT' }],
      [200, { 'sec-fetch-site': 'same-origin' }],
      [403, { host: 'attacker.example' }],
      [403, { host: 'attacker.example:PORT' }],
      [403, { host: '127.0.0.1.attacker.example' }],
      [403, { origin: 'http://attacker.example' }],
      [403, { origin: 'null' }],
      [403, { host: '127.0.0.1:PORT', origin: 'http://127.0.0.1:1' }],
      [403, { 'sec-fetch-site': 'cross-site' }],
    ])('%i for %j', async (expected, headers) => {
      expect(await status(headers)).toBe(expected);
      expect(await status(headers, '/health', 'GET')).toBe(expected);
      expect(await status(headers, '/metrics', 'GET')).toBe(expected);
    });
  });

  it('lives on when connections cannot be taken', async () => {
    const emitted = vi.spyOn(Server.prototype, 'listen');
    const server = await serveScorer(lengths);
    const [http] = emitted.mock.contexts as [Server];
    emitted.mockRestore();
    for (let i = 0; i < 3; i++) http.emit('error', new Error('accept EMFILE'));
    const answer = await post(server.url, { images: [pixel.toString('base64')], prompts: ['four'] });
    expect(await answer.json()).toMatchObject({ scores: [4] });
    await server.close();
  });

  it('closes while a client never sends its request to the end', async () => {
    const server = await serveScorer(lengths);
    const { port, hostname } = new URL(server.url);
    const slow = connect(Number(port), hostname);
    const cut = new Promise((resolve) => slow.once('close', resolve));
    slow.on('error', () => {});
    slow.write('POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"images": [');
    const waits = async () =>
      (await (await fetch(`${server.url}/metrics`)).text()).includes('requests_total 1');
    while (!(await waits())) await new Promise((resolve) => setTimeout(resolve, 5));
    await server.close();
    await cut;
  });

  it('refuses what does not fit its queue, and finishes what it has when closed', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slow: Scorer = {
      name: 'slow',
      async score() {
        await held;
        return { scores: [1], details: {} };
      },
    };
    const server = await serveScorer(slow, { maxQueue: 1 });
    const body = { images: [pixel.toString('base64')] };
    const first = post(server.url, body);
    const second = post(server.url, body);
    const queued = async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('queue 1');
    while (!(await queued())) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await post(server.url, body)).status).toBe(503);
    const closing = server.close();
    release();
    expect((await first).status).toBe(200);
    expect((await second).status).toBe(200);
    await closing;
    await expect(post(server.url, body)).rejects.toThrow();
  });
});
