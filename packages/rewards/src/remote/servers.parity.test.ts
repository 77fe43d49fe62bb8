import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fixtureCases, readJson } from '@flow-grpo/test-support';
import { describe, expect, it } from 'vitest';
import type { Scorer } from '../scorer';
import { serveScorer } from '../server/serve';
import { batchSizes } from './batches';
import { NdArray, PickleError, pickle, unpickle } from './pickle';
import { answering, pythonServer } from './reward-servers.testing';
import { deqa, geneval, unifiedReward } from './servers';

type Groups = Record<string, number[]>;
interface ServerCase {
  splits: { items: number; limit: number; sizes: number[] }[];
  reference_client: { file: string; images: string[]; result: unknown[] }[];
  hostile: Record<string, { expect: string }>;
  marker_file: string;
}

const KINDS = ['geneval', 'deqa', 'unifiedreward'] as const;

/** A client's answer that says nothing, for `count` images. */
function emptyAnswer(count: number): Uint8Array {
  const list = new Array<number>(count).fill(0.5);
  const groups = { group_rewards: {}, group_strict_rewards: {} };
  return pickle({ outputs: list, scores: list, rewards: list, strict_rewards: list, ...groups });
}

const plain = (value: unknown): unknown => {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  return Array.isArray(value) ? value.map(plain) : value;
};

describe.each(fixtureCases('rewards-server'))('$name', ({ dir }) => {
  const { splits, reference_client, hostile, marker_file } = readJson<ServerCase>(dir, 'server.json');

  /** What the reference client scored, with what it sent along. */
  const references = reference_client.map(({ file, images, result }) => {
    const kind = KINDS.find((name) => file.includes(name))!;
    const body = readFileSync(join(dir, file));
    const request = unpickle(body) as Map<string, unknown>;
    const sent = request.get('prompts');
    const onlyStrict = request.get('only_strict') === true;
    return {
      ...{ file, kind, body, result, onlyStrict },
      images: images.map((image) => ({ bytes: readFileSync(join(dir, image)) })),
      prompts: sent instanceof NdArray ? (sent.values as string[]) : images.map(() => ''),
      metadata: (plain(request.get('meta_datas')) ?? images.map(() => ({}))) as Record<string, unknown>[],
      client: (url: string): Scorer => {
        if (kind === 'geneval') return geneval({ url, onlyStrict });
        if (kind === 'deqa') return deqa({ url });
        return unifiedReward({
          url,
          numpyCore: body.includes('numpy._core') ? 'numpy._core' : 'numpy.core',
        });
      },
    };
  });

  it('has a request of each kind', () => {
    expect(new Set(references.map(({ kind }) => kind))).toEqual(new Set(KINDS));
  });

  it.each(splits)('cuts $items items as numpy does', ({ items, limit, sizes }) => {
    expect(batchSizes(items, limit)).toEqual(sizes);
  });

  it.each(references)(
    'sends the very bytes of $file',
    async ({ body, images, prompts, metadata, client }) => {
      const { url, bodies } = await answering(() => emptyAnswer(images.length));
      await client(url).score(images, prompts, metadata);
      expect(bodies).toHaveLength(1);
      expect(bodies[0]!.equals(body)).toBe(true);
    },
  );

  it.each(['python', 'numpy64', 'ndarray'])('gets the scores of the reference client, %s', async (style) => {
    const { url } = await pythonServer(dir, '--style', style);
    for (const { file, kind, images, prompts, metadata, result, client } of references) {
      const { scores, details } = await client(`${url}/${kind}`).score(images, prompts, metadata);
      if (kind !== 'geneval') {
        expect(scores, file).toEqual(result);
        continue;
      }
      const [expected, rewards, strict, groups, strictGroups] = result as [
        number[],
        number[],
        number[],
        Groups,
        Groups,
      ];
      const ofKind = (values: number[]) => values.map((value) => (value === -10 ? Number.NaN : value));
      expect(scores, file).toEqual(expected);
      expect(details.accuracy).toEqual(rewards);
      expect(details.strict_accuracy).toEqual(strict);
      for (const [key, list] of Object.entries(groups)) {
        expect(details[`${key}_accuracy`]).toEqual(ofKind(list));
        expect(details[`${key}_strict_accuracy`]).toEqual(ofKind(strictGroups[key]!));
      }
    }
  });

  it.each(references)("serve answers $file so that Python's pickle reads it", async (reference) => {
    const { file, kind, images, prompts, metadata, onlyStrict } = reference;
    const scores = images.map((_, i) => i / 8);
    const [loose, strict] = [images.map((_, i) => i + 1), images.map((_, i) => i + 0.5)];
    let asked: unknown[] = [];
    const server = await serveScorer({
      name: 'witness',
      score: async (given, ...more) => {
        asked = [(given as { bytes: Uint8Array }[]).length, ...more.slice(0, 2)];
        return { scores, details: { accuracy: loose, strict_accuracy: strict } };
      },
    });
    const program = `
import json, pickle, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], open(sys.argv[2], "rb").read()) as answer:
    print(json.dumps(pickle.loads(answer.read())))`;
    const { stdout } = await promisify(execFile)('python3', ['-c', program, server.url, join(dir, file)]);
    await server.close();
    const answer = JSON.parse(stdout) as Record<string, unknown>;
    const described = metadata.map(({ prompt }) => String(prompt ?? ''));
    expect(asked).toEqual([images.length, kind === 'geneval' ? described : prompts, metadata]);
    expect(answer.outputs).toEqual(scores);
    if (kind !== 'geneval') return;
    const rewards = onlyStrict ? strict : loose;
    expect([answer.scores, answer.rewards, answer.strict_rewards]).toEqual([scores, rewards, strict]);
    for (const [name, of] of [
      ['group_rewards', rewards],
      ['group_strict_rewards', strict],
    ] as const) {
      const groups = answer[name] as Groups;
      for (const [i, { tag }] of metadata.entries()) {
        for (const [key, values] of Object.entries(groups)) expect(values[i]).toBe(key === tag ? of[i] : -10);
        expect(Object.keys(groups)).toContain(tag);
      }
    }
  });

  const refused = Object.keys(hostile).filter((file) => hostile[file]!.expect === 'refuse');

  it.each(refused)('refuses hostile/%s as an answer, once', async (file) => {
    const { url, bodies } = await answering(() => readFileSync(join(dir, 'hostile', file)));
    const { images, prompts, metadata } = references[0]!;
    await expect(deqa({ url, pause: 1 }).score(images, prompts, metadata)).rejects.toThrow(PickleError);
    expect(bodies).toHaveLength(1);
    expect(existsSync(marker_file)).toBe(false);
  });

  it('refuses them from Python too', async () => {
    const { images, prompts, metadata } = references[0]!;
    for (const file of refused.slice(0, 3)) {
      const { url } = await pythonServer(dir, '--replay', join(dir, 'hostile', file));
      const scoring = deqa({ url: `${url}/replay`, pause: 1 }).score(images, prompts, metadata);
      await expect(scoring, file).rejects.toThrow(PickleError);
    }
    expect(existsSync(marker_file)).toBe(false);
  });
});
