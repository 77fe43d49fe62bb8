import '@flow-grpo/tfjs-backend-xla';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint, saveLora } from '@flow-grpo/checkpoint-io';
import { loraScaleOf, train } from '@flow-grpo/grpo-trainer';
import { selectNames } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { resolveRunFile } from '../run-file/schema';
import type { Showo2SetupOptions } from '../run-file/setup-schema';
import { checkModel } from './check';
import { makeSetup } from './make-setup';
import { showo2Setup } from './showo2';
import { showo2Sizes } from './showo2-sizes';
import { writeTinyShowo2 } from './testing/tiny-showo2';

let folder: string;
let model: string;
let dataset: string;
beforeAll(async () => {
  await tf.setBackend('xla');
  folder = await mkdtemp(join(tmpdir(), 'showo2-setup-'));
  ({ model, dataset } = await writeTinyShowo2(folder));
});
afterAll(() => rm(folder, { recursive: true }));

const reward = { jpeg_incompressibility: 1, jpeg_compressibility: { weight: 0.5 } };
const setup = () => ({ kind: 'showo2' as const, model, dataset, reward, dtype: 'float32' as const });

describe('showo2Setup', () => {
  it('makes a policy, prompts and the weighted rewards, which train', async () => {
    const { policy, prompts, evalPrompts, scorer } = await showo2Setup(setup());
    expect(prompts!.length).toBe(4);
    expect(evalPrompts!.at(1)!.prompt).toBe('a blue circle');
    expect(policy!.latentShape).toEqual([4, 4, 16]);
    expect(policy!.trainable.every((name) => name.startsWith('diffusion'))).toBe(true);
    const seen: Record<string, number>[] = [];
    const result = await train({
      policy: policy!,
      prompts: prompts!,
      scorer: scorer!,
      config: { epochs: 1, sampling: { numSteps: 3, promptsPerEpoch: 2, samplesPerPrompt: 2 } },
      onEpoch: (metrics) => void seen.push(metrics),
    });
    tf.dispose([result.trained, result.ema, policy!.params]);
    const [more, less] = [
      seen[0]!['reward.jpeg_incompressibility']!,
      seen[0]!['reward.jpeg_compressibility']!,
    ];
    expect(more).toBeGreaterThan(0);
    expect(seen[0]!.reward).toBeCloseTo(more + 0.5 * less, 5);
    expect(seen[0]!.gradNorm).toBeGreaterThan(0);
  });

  it('stacks layers that are frozen, those that train too where more than the head does, and saves upstream names', async () => {
    const checkpoint = await openCheckpoint(model);
    await checkpoint.close();
    const upstream = checkpoint.names;
    for (const [train, stacked] of [
      [['diffusion'], ['showo.model.layers.*.mlp.up_proj.weight', 'und_trans.layers.*.mlp.fc1.weight']],
      [['all'], ['showo.model.layers.*.mlp.up_proj.weight', 'diffusion_head_a.*.mlp.up_proj.weight']],
      [['showo.model.layers.1.*', 'diffusion_head_b.*'], ['und_trans.layers.*.mlp.fc1.weight']],
    ] as const) {
      const { policy, savedWeights } = await showo2Setup({ ...setup(), train: [...train] });
      const names = Object.keys(policy!.params);
      for (const name of stacked) expect(names, String(train)).toContain(name);
      expect(names).toEqual(expect.arrayContaining([...policy!.trainable]));
      const apart = savedWeights!(policy!.params);
      expect(new Set(Object.keys(apart))).toEqual(new Set(upstream));
      const trained = savedWeights!(
        Object.fromEntries(policy!.trainable.map((name) => [name, policy!.params[name]!])),
      );
      expect(new Set(Object.keys(trained))).toEqual(new Set(selectNames(upstream, [...train])));
      tf.dispose([apart, trained, policy!.params]);
    }
  });

  it('trains adapters: their layers, their sizes, and a folder to go on from', async () => {
    const adapted = { ...setup(), train: { lora: { rank: 2, alpha: 6, useRslora: true } } };
    const { policy, baseModel } = await showo2Setup(adapted);
    const scale = { rank: 2, alpha: 6, useRslora: true };
    expect(loraScaleOf(policy!)).toEqual(scale);
    expect(baseModel).toBe(model);
    const layers = ['q', 'k', 'v', 'o']
      .map((part) => `self_attn.${part}_proj`)
      .concat(['gate', 'up', 'down'].map((part) => `mlp.${part}_proj`));
    const names = layers.flatMap((layer) =>
      ['A', 'B'].map((factor) => `diffusion_head_a.0.${layer}.lora_${factor}.weight`),
    );
    expect([...policy!.trainable].sort()).toEqual(names.sort());
    expect(policy!.velocityFromFeatures).toBeDefined();
    const options = resolveRunFile({ setup: adapted }).setup as Showo2SetupOptions;
    const sizes = await showo2Sizes(options);
    const sizeOf = (each: string) => policy!.params[each]!.size;
    expect(sizes.trainedParameters).toBe(policy!.trainable.reduce((sum, each) => sum + sizeOf(each), 0));
    expect(sizes.referenceCopies).toBe(false);

    const at = join(folder, 'adapter');
    const adapters = Object.fromEntries(
      policy!.trainable.map((each) => [each, tf.add(policy!.params[each]!, 0.25)]),
    );
    await saveLora(at, { adapters, ...scale });
    const going = { ...setup(), train: { lora: { start: at } } };
    const second = await showo2Setup(going);
    expect(loraScaleOf(second.policy!)).toEqual(scale);
    for (const [each, value] of Object.entries(adapters)) {
      expect(second.policy!.params[each]!.dataSync()).toEqual(value.dataSync());
    }
    await expect(
      showo2Setup({ ...setup(), train: { lora: { start: at, rank: 4, targets: ['q_proj'] } } }),
    ).rejects.toThrow(/setup.train.lora.start: .*their own rank, targets; leave out lora.rank, lora.targets/);
    const found = await checkModel(resolveRunFile({ setup: going }).setup as Showo2SetupOptions);
    expect(found.map(({ option }) => option)).toContain('setup.train.lora.start');
    expect(await showo2Sizes(resolveRunFile({ setup: going }).setup as Showo2SetupOptions)).toEqual(sizes);
    tf.dispose([policy!.params, second.policy!.params, adapters]);
  });

  it('limits evaluation prompts, takes them from elsewhere, and does without', async () => {
    const few = await showo2Setup({ ...setup(), evalPrompts: 1 });
    expect(few.evalPrompts!.length).toBe(1);
    const other = await showo2Setup({ ...setup(), evalDataset: join(dataset, 'train.txt') });
    expect(other.evalPrompts!.length).toBe(4);
    const none = await showo2Setup({ ...setup(), dataset: join(dataset, 'train.txt') });
    expect(none.evalPrompts).toBeUndefined();
    for (const made of [few, other, none]) tf.dispose(made.policy!.params);
  });

  it.each([
    ['dataset', { dataset: '/none' }, /setup.dataset: .*\/none does not exist/],
    ['evalDataset', { evalDataset: '/none.txt' }, /setup.evalDataset: .*none.txt/],
    ['model', { model: '/no/model' }, /setup.model: \/no\/model does not exist, and it is not a hub id/],
    ['tokenizer', { tokenizer: './a b' }, /setup.tokenizer: /],
    ['vae', { vae: '/no.pth' }, /setup.vae: \/no.pth does not exist/],
    [
      'head',
      { reward: { aesthetic: { head: '/no.pth' } } },
      /setup.reward.aesthetic.head: \/no.pth does not/,
    ],
    ['reward model', { reward: { pickscore: { model: '/no' } } }, /setup.reward.pickscore.model: \/no does/],
    ['train', { train: ['nothing'] }, /setup.train: .*nothing/],
    ['layers', { train: { lora: { targets: ['to_q'] } } }, /setup.train: .*'to_q'/],
    [
      'adapters',
      { train: { lora: { start: '/no/adapter' } } },
      /setup.train.lora.start: \/no\/adapter does not exist/,
    ],
  ])('names what is missing: %s', async (_, change, message) => {
    await expect(showo2Setup({ ...setup(), ...change })).rejects.toThrow(message);
  });

  it('names the model of the hub that is not there', async () => {
    process.env.HF_HUB_OFFLINE = '1';
    try {
      await expect(showo2Setup({ ...setup(), model: 'no-org/no-model' })).rejects.toThrow(
        /setup.model: no-org\/no-model does not exist here, and .*offline/,
      );
    } finally {
      delete process.env.HF_HUB_OFFLINE;
    }
  });

  it('says what is wrong with a checkpoint', async () => {
    const empty = join(folder, 'prompts');
    await expect(showo2Setup({ ...setup(), model: empty })).rejects.toThrow(/setup.model: .*config.json/);
  });
});

describe('makeSetup', () => {
  it("hands a module its options and names what it can't load", async () => {
    const path = join(folder, 'own.mjs');
    await writeFile(
      path,
      'export default ({ prompts }) => ({ prompts: prompts.map((prompt) => ({ prompt })) });',
    );
    const made = await makeSetup({ kind: 'module', path, options: { prompts: ['one', 'two'] } });
    expect(made.prompts!.at(1)).toEqual({ prompt: 'two' });
    await expect(makeSetup({ kind: 'module', path: `${path}.js`, options: {} })).rejects.toThrow(
      /own.mjs.js does not exist/,
    );
    await writeFile(join(folder, 'wrong.mjs'), 'export default 3;');
    await expect(makeSetup({ kind: 'module', path: join(folder, 'wrong.mjs'), options: {} })).rejects.toThrow(
      /must export a function by default/,
    );
  });
});
