import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { crc32 } from 'node:zlib';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeJpeg, rgbImages } from '../images';
import { batchSizes } from './batches';
import { PickleError, unpickle } from './pickle';
import { deqa, geneval, unifiedReward } from './servers';

type Groups = Record<string, number[]>;
interface ServerCase {
  splits: { items: number; limit: number; sizes: number[] }[];
  reference_client: { file: string; images: string[]; result: unknown[] }[];
  marker_file: string;
}

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

describe.each(fixtureCases('rewards-server'))('$name', ({ dir }) => {
  const server = readJson<ServerCase>(dir, 'server.json');
  const quick = { pause: 1, retries: 5 };

  async function start(...args: string[]): Promise<{ url: string; child: ChildProcess; port: number }> {
    const child = spawn('python3', [join(dir, 'fake_reward_server.py'), ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const [line] = await once(createInterface(child.stdout!), 'line');
    const { port } = JSON.parse(line as string) as { port: number };
    return { url: `http://127.0.0.1:${port}`, child, port };
  }

  /** A reference client's pictures with the metadata or prompts it sent. */
  function reference(kind: string) {
    const { file, images, result } = server.reference_client.find(({ file }) => file.includes(kind))!;
    const body = readFileSync(join(dir, file));
    return { images: images.map((image) => ({ bytes: readFileSync(join(dir, image)) })), result, body };
  }

  const plain = (value: unknown): unknown => {
    if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
    return Array.isArray(value) ? value.map(plain) : value;
  };

  /** A server that keeps the body of a request and gives a fixed answer. */
  async function recorder(answer: string): Promise<{ url: string; bodies: Buffer[]; close: () => void }> {
    const bodies: Buffer[] = [];
    const http = createServer(async (incoming, outgoing) => {
      const chunks: Buffer[] = [];
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
      bodies.push(Buffer.concat(chunks));
      outgoing.end(readFileSync(join(dir, 'responses', answer)));
    });
    await once(http.listen(0, '127.0.0.1'), 'listening');
    return {
      url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
      bodies,
      close: () => http.close(),
    };
  }

  it.each(server.splits)('cuts $items items as numpy does', ({ items, limit, sizes }) => {
    expect(batchSizes(items, limit)).toEqual(sizes);
  });

  it('sends the very bytes of the reference client', async () => {
    const blank = (images: unknown[]) => images.map(() => ({}));
    for (const [kind, answer] of [
      ['geneval', 'geneval.pkl'],
      ['deqa', 'deqa.pkl'],
      ['unifiedreward', 'unifiedreward-list.pkl'],
    ] as const) {
      const { images, body } = reference(kind);
      const sent = unpickle(body) as Map<string, unknown>;
      const { url, bodies, close } = await recorder(answer);
      const numpyCore = body.includes('numpy._core') ? 'numpy._core' : 'numpy.core';
      const scorer = {
        geneval: () => geneval({ url, onlyStrict: sent.get('only_strict') as boolean }),
        deqa: () => deqa({ url }),
        unifiedreward: () => unifiedReward({ url, numpyCore }),
      }[kind]();
      const prompts =
        (sent.get('prompts') as { values?: string[] } | undefined)?.values ?? images.map(() => '');
      const metadata =
        (plain(sent.get('meta_datas')) as Record<string, unknown>[] | undefined) ?? blank(images);
      await scorer.score(images, prompts, metadata);
      expect(bodies[0]!.equals(body), kind).toBe(true);
      close();
    }
  });

  it.each(['python', 'numpy64', 'ndarray'])('gets the scores of the reference client, %s', async (style) => {
    const { url } = await start('--style', style);
    const quality = reference('deqa');
    const blank = quality.images.map(() => ({}));
    const none = quality.images.map(() => '');
    expect((await deqa({ url: `${url}/deqa` }).score(quality.images, none, blank)).scores).toEqual(
      quality.result,
    );

    const unified = reference('unifiedreward');
    const { values } = (unpickle(unified.body) as Map<string, { values: string[] }>).get('prompts')!;
    const judged = await unifiedReward({ url: `${url}/unifiedreward` }).score(unified.images, values, blank);
    expect(judged.scores).toEqual(unified.result);

    const shown = reference('geneval');
    const request = unpickle(shown.body) as Map<string, unknown>;
    const onlyStrict = request.get('only_strict') as boolean;
    const result = await geneval({ url: `${url}/geneval`, onlyStrict }).score(
      shown.images,
      none,
      plain(request.get('meta_datas')) as Record<string, unknown>[],
    );
    const [scores, rewards, strict, groups, strictGroups] = shown.result as [
      number[],
      number[],
      number[],
      Groups,
      Groups,
    ];
    expect(result.scores).toEqual(scores);
    expect(result.details.accuracy).toEqual(rewards);
    expect(result.details.strict_accuracy).toEqual(strict);
    for (const [key, list] of Object.entries(groups)) {
      expect(result.details[`${key}_accuracy`]).toEqual(list.map((v) => (v === -10 ? Number.NaN : v)));
      expect(result.details[`${key}_strict_accuracy`]).toEqual(
        strictGroups[key]!.map((v) => (v === -10 ? Number.NaN : v)),
      );
    }
  });

  /** Tiny pictures with the scores the server's rule gives them. */
  async function many(count: number) {
    const values = Float32Array.from({ length: 3 * count }, (_, i) => ((i * 7919) % 256) / 255);
    const images = tf.tensor4d(values, [count, 1, 1, 3]);
    const expected: number[] = [];
    for (const image of await rgbImages(images)) {
      expected.push(1 + (4 * (crc32(await encodeJpeg(image)) % 1001)) / 1000);
    }
    return { images, expected, prompts: expected.map(() => ''), metadata: expected.map(() => ({})) };
  }
  const close = (actual: number[], expected: number[]) => {
    expect(actual.length).toBe(expected.length);
    expect(Math.max(...actual.map((v, i) => Math.abs(v - expected[i]!)))).toBeLessThan(1e-9);
  };

  it('scores 10,000 images in order while the server fails, dies and comes back', async () => {
    const { images, expected, prompts, metadata } = await many(10_000);
    const first = await start('--fail-first', '3');
    const failures: string[] = [];
    let again: Promise<unknown> | undefined;
    const scoring = deqa({
      url: first.url,
      pause: 50,
      retries: 60,
      onRetry: (error) => failures.push(error.message),
    }).score(images, prompts, metadata);
    setTimeout(() => {
      first.child.kill('SIGKILL');
      again = once(first.child, 'exit').then(() => start('--port', String(first.port)));
    }, 400);
    close((await scoring).scores, expected);
    await again;
    expect(failures.length).toBeGreaterThanOrEqual(3);
    images.dispose();
  }, 300_000);

  it('gives up on a hanging server, and at once when aborted', async () => {
    const { images, prompts, metadata } = await many(2);
    const { url } = await start('--delay', '30');
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

  it('reports the traceback of a server that keeps failing', async () => {
    const { images, prompts, metadata } = await many(1);
    const { url } = await start();
    await expect(deqa({ ...quick, url: `${url}/error` }).score(images, prompts, metadata)).rejects.toThrow(
      'asked to fail',
    );
    await expect(deqa({ url: `${url}/nowhere` }).score(images, prompts, metadata)).rejects.toThrow(
      'status 404',
    );
    images.dispose();
  });

  it('tries again when a body ends early', async () => {
    const { images, prompts, metadata } = await many(3);
    let requests = 0;
    const body = readFileSync(join(dir, 'responses', 'deqa.pkl'));
    const http = createServer((incoming, outgoing) => {
      incoming.resume().on('end', () => {
        if (++requests > 2) return outgoing.end(body);
        outgoing.writeHead(200, { 'content-length': body.length });
        outgoing.write(body.subarray(0, 10), () => outgoing.destroy());
      });
    });
    await once(http.listen(0, '127.0.0.1'), 'listening');
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const { scores } = await deqa({ ...quick, url }).score(images, prompts, metadata);
    expect(scores.length).toBe(3);
    expect(requests).toBe(3);
    http.close();
    images.dispose();
  });

  it.each(['os-system-p4.pkl', 'builtins-eval.pkl', 'truncated.pkl', 'html-error-page.pkl'])(
    'refuses %s from a server without running it or asking again',
    async (file) => {
      const { images, prompts, metadata } = await many(1);
      const { url } = await start('--replay', join(dir, 'hostile', file));
      await expect(deqa({ ...quick, url: `${url}/replay` }).score(images, prompts, metadata)).rejects.toThrow(
        PickleError,
      );
      expect(existsSync(server.marker_file)).toBe(false);
      images.dispose();
    },
  );
});
