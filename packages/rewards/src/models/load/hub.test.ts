import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findFiles } from '@flow-grpo/checkpoint-io';
import { StandInHub } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REWARDS } from '../../registry';
import { makeReward } from '../../registry/find';
import { aesthetic } from '../scorers/aesthetic';
import type { ModelScorer } from '../scorers/batches';
import { clipScore, pickScore } from '../scorers/clip-score';
import { hpsv2 } from '../scorers/hpsv2';
import { imageReward } from '../scorers/image-reward';
import { writeTinyBlip, writeTinyClip, writeTinyHead, writeTinyHps } from '../scorers/tiny-models.testing';

const root = mkdtempSync(join(tmpdir(), 'hub-rewards-'));
const folder = (name: string) => {
  mkdirSync(join(root, name));
  return join(root, name);
};
const HEAD = 'head.pth';
const [clip, hps, blip] = [folder('clip'), folder('hps'), folder('blip')];
const unwanted = { 'open_clip_pytorch_model.bin': new Uint8Array(64), 'README.md': new Uint8Array(8) };
const filesOf = (from: string, names = readdirSync(from)) =>
  Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(from, name)))]));
const weightsOf = (from: string) => filesOf(from)['model.safetensors']!;

let hub: StandInHub;
let options: { hub: { endpoint: string; cacheDir: string } };
let openClip: Awaited<ReturnType<typeof writeTinyHps>>;
let bert: Awaited<ReturnType<typeof writeTinyBlip>>;

beforeAll(async () => {
  const { config } = await writeTinyClip(clip);
  openClip = await writeTinyHps(hps);
  bert = await writeTinyBlip(blip);
  await writeTinyHead(join(root, 'head.safetensors'), config.projection_dim);
  const processor = ['tokenizer.json', 'preprocessor_config.json'];
  hub = new StandInHub({
    'yuvalkirstain/PickScore_v1': {
      ...filesOf(clip, ['config.json', 'model.safetensors']),
      'pytorch_model.bin': new Uint8Array(64),
    },
    'laion/CLIP-ViT-H-14-laion2B-s32B-b79K': { ...filesOf(clip, processor), ...unwanted },
    'openai/clip-vit-large-patch14': { ...filesOf(clip), ...unwanted },
    'xswu/HPSv2': { 'HPS_v2.1_compressed.pt': weightsOf(hps), 'HPS_v2_compressed.pt': new Uint8Array(64) },
    'THUDM/ImageReward': { 'ImageReward.pt': weightsOf(blip), ...unwanted },
    'google-bert/bert-base-uncased': { ...filesOf(blip, ['tokenizer.json']), ...unwanted },
    'hps/tokenizer': filesOf(hps, ['tokenizer.json']),
    'org/heads': { [HEAD]: new Uint8Array(readFileSync(join(root, 'head.safetensors'))), ...unwanted },
  });
  await hub.start();
  options = { hub: { endpoint: hub.endpoint, cacheDir: join(root, 'cache') } };
});
afterAll(async () => {
  await hub.stop();
  rmSync(root, { recursive: true });
});

async function scoresOf(loading: Promise<ModelScorer>): Promise<number[]> {
  const scorer = await loading;
  const images = tf.randomUniform([2, 40, 37, 3], 0, 1, 'float32', 4) as tf.Tensor4D;
  const { scores } = await scorer.score(images, ['a cat', 'dog'], [{}, {}]);
  scorer.dispose();
  images.dispose();
  return scores;
}

describe('the published checkpoints by their ids', () => {
  it('are found without a word, and nothing else is downloaded', async () => {
    const expected = await scoresOf(pickScore({ model: clip }));
    expect(await scoresOf(pickScore(options))).toEqual(expected);
    expect(await scoresOf(clipScore(options))).toEqual(await scoresOf(clipScore({ model: clip })));
    const head = join(root, 'head.safetensors');
    expect(await scoresOf(aesthetic({ head, ...options }))).toEqual(
      await scoresOf(aesthetic({ head, model: clip })),
    );
    expect(await scoresOf(imageReward({ config: bert, ...options }))).toEqual(
      await scoresOf(imageReward({ config: bert, model: blip, processor: blip })),
    );
    const asked = hub.requests.map(({ url }) => url);
    expect(asked.filter((url) => /open_clip|README|pytorch_model/.test(url))).toEqual([]);
    const again = asked.length;
    const cached = { hub: { ...options.hub, offline: true } };
    expect(await scoresOf(pickScore(cached))).toEqual(expected);
    expect(hub.requests).toHaveLength(again);
  });

  it('are the one file of HPSv2 that is asked for', async () => {
    const given = { config: openClip, processor: 'hps/tokenizer', ...options };
    expect(await scoresOf(hpsv2(given))).toEqual(
      await scoresOf(hpsv2({ config: openClip, model: hps, processor: hps })),
    );
    expect(hub.requests.some(({ url }) => url.includes('HPS_v2_compressed'))).toBe(false);
  });
});

/** Every reward that reads files, with the options it cannot do without: at its defaults, and with one source for all. */
const READING = Object.entries(REWARDS).flatMap(([name, { requiredFiles }]) => {
  const needed = name === 'aesthetic' ? { head: `org/heads/${HEAD}` } : {};
  const model =
    { hpsv2: 'xswu/HPSv2', imagereward: 'THUDM/ImageReward' }[name] ?? 'openai/clip-vit-large-patch14';
  const processor = 'openai/clip-vit-large-patch14';
  return requiredFiles ? [[name, needed] as const, [name, { ...needed, model, processor }] as const] : [];
});

describe('a check of what a reward reads', () => {
  it.each(READING)('is followed by a load of %s that asks for nothing else: %j', async (name, given) => {
    const definition = REWARDS[name as keyof typeof REWARDS];
    const required = definition.requiredFiles!(given);
    const cacheDir = mkdtempSync(join(root, 'empty-'));
    const at = { endpoint: hub.endpoint, cacheDir };
    const check = async (offline: boolean) =>
      Promise.all(required.map((each) => findFiles(each, { hub: { ...at, offline } })));

    await expect(check(true)).rejects.toThrow('offline');
    await expect(makeReward(name, given, { hub: { ...at, offline: true } })).rejects.toThrow('offline');
    const announced = (await check(false)).flatMap(({ files }) => files.map(({ file }) => file));
    const downloaded = new Set<string>();
    const onDownload = ({ file }: { file: string }) => void downloaded.add(file);
    const load = async (offline: boolean) =>
      ((await makeReward(name, given, { hub: { ...at, offline }, onDownload })) as ModelScorer).dispose();
    await load(false);
    expect([...downloaded].sort()).toEqual([...new Set(announced)].sort());

    expect((await check(true)).every(({ downloadBytes }) => downloadBytes === 0)).toBe(true);
    hub.requests.length = 0;
    await load(true);
    expect(hub.requests).toEqual([]);
  });

  it('covers the five models', () => {
    expect(new Set(READING.map(([name]) => name)).size).toBe(5);
  });
});
