import '@flow-grpo/tfjs-backend-xla';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadLora, openCheckpoint } from '@flow-grpo/checkpoint-io';
import {
  type EpochMetrics,
  type GrpoConfigInput,
  loraScaleOf,
  resolveConfig,
  train,
} from '@flow-grpo/grpo-trainer';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import { countParams, pickParams, unstackLora } from '@flow-grpo/nn';
import { fixtureCases, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { estimateMemory, memoryOf } from '../run/memory-estimate';
import { type ZImageSetupInput, zImageSetupSchema } from '../run-file/setup-schema';
import { checkModel } from './check';
import { setupFingerprint } from './fingerprint';
import { makeSetup } from './make-setup';
import { writeZImageEmbeddings } from './z-image';
import { zImageSizes } from './z-image-sizes';

const model = fixtureCases('z-image-pipeline')[0]!.dir;
let folder: string;
beforeAll(async () => {
  expect(await tf.setBackend('xla')).toBe(true);
  folder = await mkdtemp(join(tmpdir(), 'z-image-setup-'));
  await writeFile(join(folder, 'train.txt'), 'a red fox\na blue boat on the lake\n');
  await writeFile(join(folder, 'test.txt'), 'a fox\n');
});
afterAll(() => rm(folder, { recursive: true }));

const options = (change: Partial<ZImageSetupInput> = {}) =>
  parseConfig(zImageSetupSchema, {
    kind: 'z-image',
    model,
    size: [32, 32],
    dtype: 'float32',
    dataset: folder,
    reward: { jpeg_compressibility: 1 },
    ...change,
  });

describe('kind: z-image', () => {
  it('makes policy, prompts and rewards, and says what it is made of', async () => {
    const choice = options({ guidanceScale: 1.5, evalRewards: { jpeg_incompressibility: 1 } });
    const made = await makeSetup(choice);
    expect(made.policy!.latentShape).toEqual([4, 4, 16]);
    expect(made.prompts!.at(1)!.prompt).toBe('a blue boat on the lake');
    expect(made.evalPrompts).toHaveLength(1);
    expect(Object.keys(made.evalRewards!)).toEqual(['jpeg_incompressibility']);
    expect(made.policy!.trainable).toContain('layers.*.attention.to_q.weight');
    const words = await setupFingerprint(choice, made);
    expect(words).toMatchObject({ kind: 'z-image', size: '32 x 32', guidanceScale: '1.5', textLength: '32' });
    expect(words.model).toMatch(/transformer\/diffusion_pytorch_model\.safetensors: \d+ bytes, sha256/);
    const other = await setupFingerprint(options({ guidanceScale: 1.5, size: [32, 48] }), made);
    expect(other.size).not.toBe(words.size);
    const names = Object.keys(made.savedWeights!(made.policy!.params)).sort();
    const checkpoint = await openCheckpoint(join(model, 'transformer'));
    await checkpoint.close();
    expect(names).toEqual([...checkpoint.names].sort());
    tf.dispose(made.policy!.params);
  });

  it.each<[string, GrpoConfigInput, Partial<ZImageSetupInput>]>([
    ['grpo', { grpo: { beta: 0.01 } }, { guidanceScale: 1.5 }],
    ['nft', { nft: { timesPerImage: 2 } }, {}],
    ['grpo', { grpo: { beta: 0.01 } }, { train: { lora: { rank: 4, alpha: 8 } } }],
    ['nft', { nft: { timesPerImage: 2 } }, { train: { lora: { rank: 4, init: 'gaussian' } } }],
  ])('trains with %s, %j, %j', async (algorithm, own, change) => {
    const config: GrpoConfigInput = {
      ...{ algorithm: algorithm as 'grpo' | 'nft', epochs: 1, ...own },
      // Their programs come with what examples/z-image-lora trains.
      divergence: { action: 'off' },
      hacking: { action: 'off' },
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
      training: { updatesPerEpoch: 1, learningRate: 1e-3 },
    };
    const { policy, prompts, scorer } = await makeSetup(options({ train: ['attention.to_'], ...change }));
    const seen: EpochMetrics[] = [];
    const { trained, ema } = await train({
      ...{ policy: policy!, prompts: prompts!, scorer: scorer! },
      config,
      onEpoch: (metrics) => void seen.push(metrics),
    });
    expect(seen[0]!.gradNorm).toBeGreaterThan(0);
    if (algorithm === 'grpo') {
      expect(seen[0]!.maxRatioDeviation).toBe(0);
      expect(seen[0]!.maxLogProbMismatch).toBeLessThan(1e-5);
    }
    tf.dispose([trained, ema, policy!.params]);
  });

  describe('with the states of prompts from a file', () => {
    const file = () => join(folder, 'prompts.safetensors');
    const embedded = (change: Partial<ZImageSetupInput> = {}) =>
      options({ promptEmbeddings: file(), guidanceScale: 1.5, ...change });

    it('gives the same velocity, without the text encoder', async () => {
      expect(await writeZImageEmbeddings(file(), embedded(), {})).toBe(4); // three, and the empty one
      const loaded: string[] = [];
      const setups = await Promise.all([
        makeSetup(embedded(), { onMessage: (message) => void loaded.push(message) }),
        makeSetup(options({ guidanceScale: 1.5 })),
      ]);
      const velocities = setups.map(({ policy, prompts }) => {
        const condition = policy!.encodePrompts([prompts!.at(1)!.prompt, prompts!.at(0)!.prompt]);
        const trained = pickParams(policy!.params, policy!.trainable);
        const call = { trained, condition, purpose: 'sampling' } as const;
        const x = tf.randomNormal([2, 4, 4, 16], 0, 1, 'float32', 5);
        const at = { x, t: tf.tensor1d([0.3, 0.6]), rows: tf.tensor1d([0, 1], 'int32') };
        return policy!.velocity({ ...call, ...at, prepared: policy!.prepare!(call) }).velocity.dataSync();
      });
      expect(maxAbs(velocities[1]!)).toBeGreaterThan(0.1);
      expect(maxAbsDiff(velocities[0]!, velocities[1]!)).toBeLessThan(1e-5);
      expect(loaded.join('\n')).not.toContain('text_encoder');
      const words = await setupFingerprint(embedded(), setups[0]!);
      expect(words.promptEmbeddings).toMatch(/sha256/);
      expect(words.model).not.toContain('text_encoder');
      const found = await checkModel(embedded());
      expect(found.map(({ option }) => option)).toContain('setup.promptEmbeddings');
      for (const { policy } of setups) tf.dispose(policy!.params);
    });

    it('names what the file lacks, and files of another kind', async () => {
      await expect(makeSetup(embedded({ maxPromptTokens: 20 }))).rejects.toThrow(
        /setup.promptEmbeddings: .* has prompts cut to 512 tokens, and the run cuts them to 20.*flow-grpo embed/,
      );
      const more = join(folder, 'more.txt');
      await writeFile(more, 'a red fox\na stranger\n');
      await expect(makeSetup(embedded({ dataset: more }))).rejects.toThrow(
        /prompts.safetensors lacks 1 of the run's prompts, such as "a stranger"/,
      );
      const other = join(model, 'vae/diffusion_pytorch_model.safetensors');
      await expect(makeSetup(embedded({ promptEmbeddings: other }))).rejects.toThrow(
        /holds no states of prompts/,
      );
      await expect(makeSetup(embedded({ promptEmbeddings: '/none.safetensors' }))).rejects.toThrow(
        /setup.promptEmbeddings: \/none.safetensors does not exist.*flow-grpo embed/,
      );
    });
  });

  it('goes on from adapters in the layout of diffusers, which it saves too', async () => {
    const start = fixtureCases('z-image-lora')[0]!.dir;
    const file = join(start, 'pytorch_lora_weights.safetensors');
    const { adapters: given, ...scale } = await loadLora(file);
    const made = await makeSetup(options({ train: { lora: { start: file } } }));
    expect(loraScaleOf(made.policy!)).toMatchObject(scale);
    const trained = pickParams(made.policy!.params, made.policy!.trainable);
    const layers = unstackLora(trained);
    expect(Object.keys(layers).sort()).toEqual(Object.keys(given).sort());
    const saved = join(folder, 'adapter');
    await made.saveAdapter!(saved, { adapters: layers, ...scale });
    const back = await loadLora(join(saved, 'pytorch_lora_weights.safetensors'));
    expect(back).toMatchObject(scale);
    for (const [name, value] of Object.entries(given)) {
      expect(back.adapters[name]!.dataSync(), name).toEqual(value.dataSync());
    }
    const sizes = await zImageSizes(options({ train: { lora: { start: file } } }));
    expect(sizes.trainedParameters).toBe(countParams(given));
    const found = await checkModel(options({ train: { lora: { start: file } } }));
    expect(found.map(({ option }) => option)).toContain('setup.train.lora.start');
    tf.dispose([made.policy!.params, given, layers, back.adapters]);
  });

  it('finds what a run reads, and names what is missing', async () => {
    const found = await checkModel(options());
    expect(found.map(({ option }) => option)).toEqual(['setup.model', 'setup.dataset']);
    expect(found[0]).toMatchObject({ place: model, download: 0 });
    const problems = (change: Partial<ZImageSetupInput>) =>
      checkModel(options(change)).then(
        () => '',
        ({ message }: Error) => message,
      );
    expect(await problems({ model: './none' })).toMatch(/setup\.model: .*Tongyi-MAI\/Z-Image-Turbo/);
    expect(await problems({ model: folder })).toMatch(/has no scheduler\/scheduler_config\.json/);
    expect(await problems({ transformer: join(folder, 'none.safetensors') })).toMatch(/setup\.transformer: /);
    expect(() => options({ size: [32, 40] })).toThrow(/size/);
  });

  it.each([
    ['everything', {}],
    ['some weights', { train: ['attention.to_q'] }],
    ['adapters', { train: { lora: { rank: 4 } } }],
    ['adapters of some layers', { train: { lora: { rank: 4, targets: ['feed_forward'] } } }],
  ])('knows the memory that the loaded policy has: %s', async (_, change) => {
    const config = resolveConfig({ sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 } });
    const before = memoryOf(await zImageSizes(options(change)), config);
    const { policy, prompts } = await makeSetup(options(change));
    const after = estimateMemory(policy!, prompts!.at(0)!.prompt, config);
    tf.dispose(policy!.params);
    expect(before).toEqual(after);
    expect(before.trainedParameters).toBeGreaterThan(0);
  });
});
