import { describe, expect, it } from 'vitest';
import { jpegIncompressibility } from '../jpeg/jpeg-size';
import { deqa, unifiedReward } from '../remote';
import type { Scorer } from '../scorer';
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
    expect(await (await fetch(`${server.url}/metrics`)).text()).toContain('flow_grpo_reward_images_total 4');
    await server.close();
  });

  it('decodes the files it is sent', async () => {
    const server = await serve(jpegIncompressibility());
    const { scores } = await deqa({ url: server.url }).score([{ bytes: pixel }], [''], [{}]);
    expect(scores[0]).toBeGreaterThan(0.6);
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
