import { once } from 'node:events';
import { crc32 } from 'node:zlib';
import { fixtureCases, rounds } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { encodeJpeg, rgbImages } from '../images';
import { pickle } from './pickle';
import { answering, localServer, pythonServer } from './reward-servers.testing';
import { deqa } from './servers';

/** Pictures of which no two are alike (the number of each is in its two grey levels), with their scores. */
async function many(count: number) {
  const level = (i: number, x: number) => 2 * (x < 8 ? i & 127 : i >> 7);
  const values = Float32Array.from({ length: 384 * count }, (_, at) => {
    const i = Math.floor(at / 384);
    return level(i, Math.floor((at % 48) / 3)) / 255;
  });
  const images = tf.tensor4d(values, [count, 8, 16, 3]);
  const expected: number[] = [];
  const files = new Set<string>();
  for (const image of await rgbImages(images)) {
    const file = await encodeJpeg(image);
    files.add(Buffer.from(file).toString('latin1'));
    expected.push(1 + (4 * (crc32(file) % 1001)) / 1000);
  }
  expect(files.size).toBe(count);
  return { images, expected, prompts: expected.map(() => ''), metadata: expected.map(() => ({})) };
}

function close(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length);
  expect(Math.max(...actual.map((v, i) => Math.abs(v - expected[i]!)))).toBeLessThan(1e-9);
}

const IMAGES = rounds(2000, 10_000);

const wait = (milliseconds: number) => new Promise((done) => setTimeout(done, milliseconds));

describe.each(fixtureCases('rewards-server'))('$name, a server that fails', ({ dir }) => {
  const quick = { pause: 1, retries: 5 };

  it(`loses and mixes up none of ${IMAGES} images while the server fails, is killed and comes back`, async () => {
    const { images, expected, prompts, metadata } = await many(IMAGES);
    const first = await pythonServer(dir, '--fail-first', '10', '--delay', '0.02');
    const failures: string[] = [];
    const scoring = deqa({
      url: first.url,
      batchSize: Math.ceil(IMAGES / 157),
      pause: 50,
      retries: 60,
      onRetry: (error) => failures.push(error.message),
    }).score(images, prompts, metadata);
    // Far from the end of its requests, about 157; the delay sees to it that some are under way.
    while ((await first.stats()).requests < 40) await wait(5);
    first.child.kill('SIGKILL');
    await once(first.child, 'exit');
    await pythonServer(dir, '--port', String(first.port));
    close((await scoring).scores, expected);
    const answered = failures.filter((message) => message.includes('status 500')).length;
    expect(answered).toBeGreaterThan(0);
    expect(failures.length).toBeGreaterThan(answered);
    images.dispose();
  });

  it('gives up on one that hangs, and at once when aborted', async () => {
    const { images, prompts, metadata } = await many(2);
    const { url } = await pythonServer(dir, '--delay', '30');
    await expect(
      deqa({ url, timeout: 100, retries: 1, pause: 1 }).score(images, prompts, metadata),
    ).rejects.toThrow('cannot be reached');
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error('enough')), 50);
    await expect(deqa({ url }).score(images, prompts, metadata, { signal: stop.signal })).rejects.toThrow(
      'enough',
    );
    images.dispose();
  });

  it('reports the traceback of one that keeps failing', async () => {
    const { images, prompts, metadata } = await many(1);
    const { url } = await pythonServer(dir);
    await expect(deqa({ ...quick, url: `${url}/error` }).score(images, prompts, metadata)).rejects.toThrow(
      'asked to fail',
    );
    await expect(deqa({ url: `${url}/nowhere` }).score(images, prompts, metadata)).rejects.toThrow(
      'status 404',
    );
    images.dispose();
  });

  it('tries again when a body stalls', async () => {
    const { images, prompts, metadata } = await many(2);
    let requests = 0;
    const body = Buffer.from(pickle({ outputs: [1, 2] }));
    const url = await localServer((incoming, outgoing) => {
      incoming.resume().on('end', () => {
        if (++requests > 1) return outgoing.end(body);
        outgoing.writeHead(200, { 'content-length': body.length });
        outgoing.write(body.subarray(0, 10));
      });
    });
    const { scores } = await deqa({ ...quick, url, timeout: 500 }).score(images, prompts, metadata);
    expect(scores).toEqual([1, 2]);
    expect(requests).toBeGreaterThanOrEqual(2); // on a slow machine the second one may take too long as well
    images.dispose();
  });

  it('tries again when a body ends early', async () => {
    const { images, prompts, metadata } = await many(3);
    let requests = 0;
    const body = Buffer.from(pickle({ outputs: [1, 2, 3] }));
    const url = await localServer((incoming, outgoing) => {
      incoming.resume().on('end', () => {
        if (++requests > 2) return outgoing.end(body);
        outgoing.writeHead(200, { 'content-length': body.length });
        outgoing.write(body.subarray(0, 10), () => outgoing.destroy());
      });
    });
    const { scores } = await deqa({ ...quick, url }).score(images, prompts, metadata);
    expect(scores).toEqual([1, 2, 3]);
    expect(requests).toBe(3);
    images.dispose();
  });

  it.each([
    ['too few numbers', { outputs: [1] }, 'no list of 2 numbers under outputs'],
    ['another key', { scores: [1, 2] }, 'no list of 2 numbers under outputs'],
    ['a text', { outputs: [1, 'high'] }, 'a string among the numbers under outputs'],
    ['no dictionary', [1, 2], 'answered with no dictionary'],
  ])('does not take %s for scores', async (_, answer, message) => {
    const { images, prompts, metadata } = await many(2);
    const { url } = await answering(() => pickle(answer));
    await expect(deqa({ ...quick, url }).score(images, prompts, metadata)).rejects.toThrow(message);
    images.dispose();
  });

  it('has no more requests under way than it is allowed, and keeps the order whichever ends first', async () => {
    const { images, prompts, metadata } = await many(30);
    let open = 0;
    let most = 0;
    let requests = 0;
    const url = await localServer(async (incoming, outgoing) => {
      most = Math.max(most, ++open);
      const turn = requests++;
      for await (const _ of incoming);
      await wait(turn % 3 === 0 ? 60 : 5);
      open--;
      outgoing.end(pickle({ outputs: [turn, turn + 0.5] }));
    });
    const { scores } = await deqa({ url, batchSize: 2, concurrency: 3 }).score(images, prompts, metadata);
    expect(most).toBe(3);
    expect(scores).toHaveLength(30);
    // Requests start in the order of the batches, three at a time, and the slow ones end last.
    const turns = scores.filter((_, i) => i % 2 === 0);
    expect(new Set(turns).size).toBe(15);
    for (const [batch, turn] of turns.entries()) expect(Math.abs(turn - batch)).toBeLessThan(3);
    expect(scores.filter((_, i) => i % 2 === 1)).toEqual(turns.map((turn) => turn + 0.5));
    images.dispose();
  });
});
