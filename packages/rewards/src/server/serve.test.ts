import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { jpegIncompressibility } from '../jpeg/jpeg-size';
import { deqa, geneval, unifiedReward } from '../remote';
import type { Scorer } from '../scorer';
import { shapeEval } from '../shapes';
import { rewardServer } from './client';
import { serve } from './serve';

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
    const server = await serve(lengths);
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
    const server = await serve(jpegIncompressibility());
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
    const server = await serve(shapeEval());
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
    const server = await serve(shapeEval(), { concurrency: 2 });
    const client = rewardServer({ url: `${server.url}/`, batchSize: 3 });
    expect(await client.score(images, prompts, metadata)).toEqual(
      await shapeEval().score(images, prompts, metadata),
    );
    images.dispose();
    await server.close();
    const sizes = await serve(jpegIncompressibility());
    const local = await jpegIncompressibility().score([{ bytes: pixel }], [''], [{}]);
    expect(await rewardServer({ url: sizes.url }).score([{ bytes: pixel }], [''], [{}])).toEqual(local);
    const failing = rewardServer({ url: sizes.url, retries: 1, pause: 1 });
    await expect(failing.score([{ bytes: Uint8Array.of(1) }], [''], [{}])).rejects.toThrow(
      'cannot be decoded',
    );
    await expect(
      rewardServer({ url: `${sizes.url}/health`, retries: 0 }).score([{ bytes: pixel }], [''], [{}]),
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
    const server = await serve(patient);
    const client = rewardServer({ url: server.url, retries: 0 });
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

  it('tells what is wrong with a request, and reports failures', async () => {
    const server = await serve(jpegIncompressibility());
    expect((await post(server.url, { images: 'none' })).status).toBe(400);
    expect((await post(server.url, { images: [], prompts: ['x'] })).status).toBe(400);
    expect((await fetch(server.url, { method: 'POST', body: 'cos\nsystem\n.' })).status).toBe(400);
    const broken = await post(server.url, { images: ['AAAA'] });
    expect(broken.status).toBe(500);
    expect(await broken.text()).toContain('cannot be decoded');
    await server.close();
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
    const server = await serve(slow, { maxQueue: 1 });
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
