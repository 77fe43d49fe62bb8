import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadParams, openCheckpoint, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { unstackLayers } from '@flow-grpo/nn';
import { fixtureCases, maxAbsDiff } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import type { GenerateOptions } from '../src/index';
import { loadZImage, saveZImage, ZImage, zImageRequiredFiles } from '../src/node';

await useWasm();

const folder = mkdtempSync(join(tmpdir(), 'z-image-load-'));
afterAll(() => rmSync(folder, { recursive: true }));

const source = fixtureCases('z-image-pipeline')[0]!.dir;
const copy = (name: string) => {
  const to = join(folder, name);
  for (const part of ['transformer', 'text_encoder', 'vae', 'scheduler', 'tokenizer']) {
    cpSync(join(source, part), join(to, part), { recursive: true });
  }
  return to;
};
const options: GenerateOptions = { size: [32, 48], steps: 2, guidanceScale: 1, seed: 3 };
const draw = async (path: string, more: Parameters<typeof ZImage.fromPretrained>[1] = {}) => {
  const model = await ZImage.fromPretrained(path, { dtype: 'float32', ...more });
  const image = await model.generate(['a red fox'], options);
  const values = image.dataSync();
  tf.dispose(image);
  model.dispose();
  return values;
};
const expected = await draw(source);
/** Stores a part's weights under other names. */
const rename = async (
  path: string,
  file: string,
  name: (name: string) => string,
  more: tf.NamedTensorMap = {},
) => {
  const params = await loadParams(join(path, file));
  const renamed = Object.fromEntries(Object.entries(params).map(([key, x]) => [name(key), x]));
  await saveSafetensors(join(path, file), { ...renamed, ...more });
};

/** An index in place of the transformer's one file. */
const indexOf = (path: string, weights: object) => {
  const file = join(path, 'transformer/diffusion_pytorch_model.safetensors');
  rmSync(file);
  writeFileSync(`${file}.index.json`, JSON.stringify({ weight_map: weights }));
};
const edit = (path: string, part: string, change: object) => {
  const file = join(path, part, 'config.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
};

describe('fromPretrained', () => {
  it('gives the same with blocks one by one and stacked', async () => {
    for (const stacked of [true, false]) {
      expect(maxAbsDiff(await draw(source, { stacked }), expected)).toBeLessThan(1e-4);
    }
  });

  it('reads sharded weights, by their index', async () => {
    const path = copy('sharded');
    const file = join(path, 'transformer/diffusion_pytorch_model.safetensors');
    const params = await loadParams(file);
    rmSync(file);
    await saveSafetensors(file, params, { shardSize: 200_000 });
    const index = JSON.parse(readFileSync(`${file}.index.json`, 'utf8'));
    expect(new Set(Object.values(index.weight_map)).size).toBeGreaterThan(1);
    expect(await draw(path)).toEqual(expected);
  });

  it('reads a text encoder inside its language model, and ignores the head', async () => {
    const path = copy('language-model');
    const head = { 'lm_head.weight': tf.zeros([3, 2]) };
    await rename(path, 'text_encoder/model.safetensors', (name) => `model.${name}`, head);
    expect(await draw(path)).toEqual(expected);
  });

  it('does without the layer and the norm that nothing depends on', async () => {
    const path = copy('shorter');
    const file = join(path, 'text_encoder/model.safetensors');
    const params = await loadParams(file);
    const { num_hidden_layers: layers } = JSON.parse(
      readFileSync(join(path, 'text_encoder/config.json'), 'utf8'),
    );
    const used = Object.entries(params).filter(
      ([name]) => !name.startsWith(`layers.${layers - 1}.`) && name !== 'norm.weight',
    );
    await saveSafetensors(file, Object.fromEntries(used));
    expect(await draw(path)).toEqual(expected);
    const parts = await loadZImage(source, { stacked: false });
    expect(Object.keys(parts.textEncoder!.params).sort()).toEqual(used.map(([name]) => name).sort());
  });

  it('takes the transformer of a single file with the names of ComfyUI', async () => {
    const params = await loadParams(join(source, 'transformer/diffusion_pytorch_model.safetensors'));
    const single: Record<string, tf.Tensor> = {};
    for (const [name, x] of Object.entries(params)) {
      if (/attention\.to_[kv]\./.test(name)) continue;
      const parts = ['q', 'k', 'v'].map((part) => params[name.replace('to_q', `to_${part}`)]!);
      const other = name
        .replace(/^all_x_embedder\.[\d-]+/, 'x_embedder')
        .replace(/^all_final_layer\.[\d-]+/, 'final_layer')
        .replace('attention.to_q', 'attention.qkv')
        .replace('attention.to_out.0', 'attention.out')
        .replace('attention.norm_q', 'attention.q_norm')
        .replace('attention.norm_k', 'attention.k_norm');
      single[`model.diffusion_model.${other}`] = name.includes('to_q') ? tf.concat(parts, 0) : x;
    }
    const file = join(folder, 'z_image_bf16.safetensors');
    await saveSafetensors(file, single);
    expect(await draw(source, { transformer: file })).toEqual(expected);
  });

  it('leaves the text encoder out where prompts come as states', async () => {
    const whole = await ZImage.fromPretrained(source, { dtype: 'float32' });
    const [prompt, negative] = [whole.encodePrompts(['a red fox']), whole.encodePrompts([''])];
    const model = await ZImage.fromPretrained(source, { dtype: 'float32', textEncoder: false });
    expect(model.parts.textEncoder).toBeUndefined();
    const image = await model.generate({ prompt, negative }, options);
    expect(image.dataSync()).toEqual(expected);
    await expect(model.generate(['a red fox'], options)).rejects.toThrow(/without its text encoder/);
  });

  it('names what is missing, and does not fit', async () => {
    const path = copy('broken');
    rmSync(join(path, 'vae/config.json'));
    await expect(ZImage.fromPretrained(path)).rejects.toThrow(/vae\/config\.json.*Tongyi-MAI/);
    const other = copy('renamed');
    await rename(other, 'transformer/diffusion_pytorch_model.safetensors', (name) =>
      name.replace('layers.0.ffn_norm1', 'layers.0.another'),
    );
    const before = tf.memory().numTensors;
    await expect(ZImage.fromPretrained(other)).rejects.toThrow(/layers\.0\.ffn_norm1\.weight/);
    expect(tf.memory().numTensors).toBe(before);
    const config = join(other, 'scheduler/scheduler_config.json');
    writeFileSync(config, JSON.stringify({ shift: 3, use_karras_sigmas: true }));
    await expect(ZImage.fromPretrained(other)).rejects.toThrow(/scheduler_config\.json.*Karras/s);
  });

  it.each<[string, (path: string) => Promise<void> | void, RegExp]>([
    [
      'weights of integers',
      async (path) => {
        const file = join(path, 'transformer/diffusion_pytorch_model.safetensors');
        const params = await loadParams(file);
        const [name] = Object.keys(params).filter((each) => each.endsWith('to_q.weight')) as [string];
        await saveSafetensors(file, { ...params, [name]: tf.cast(params[name]!, 'int32') });
      },
      /to_q\.weight is stored as integers \(int32 here\), not floating point/,
    ],
    [
      'a shard that is missing',
      async (path) => {
        const file = join(path, 'transformer/diffusion_pytorch_model.safetensors');
        const params = await loadParams(file);
        rmSync(file);
        await saveSafetensors(file, params, { shardSize: 200_000 });
        const [shard] = readdirSync(join(path, 'transformer')).filter((name) => name.includes('-00002-of-'));
        rmSync(join(path, 'transformer', shard!));
      },
      /model-00002-of-\d+\.safetensors/,
    ],
    [
      'a shard that is cut',
      (path) => {
        const file = join(path, 'vae/diffusion_pytorch_model.safetensors');
        writeFileSync(file, readFileSync(file).subarray(0, -100));
      },
      /vae\/diffusion_pytorch_model\.safetensors: /,
    ],
    ['an index of nothing', (path) => indexOf(path, {}), /index\.json|is missing|missing/],
    [
      'an index that leads elsewhere',
      (path) => indexOf(path, { w: '../../x.safetensors' }),
      /not a file name/,
    ],
    [
      'a configuration of other sizes',
      (path) => edit(path, 'transformer', { n_layers: 9 }),
      /layers\.\d\..*/s,
    ],
    [
      'a width that no head divides',
      (path) => edit(path, 'transformer', { n_heads: 7 }),
      /transformer\/config\.json/,
    ],
    [
      'sizes that are texts',
      (path) => edit(path, 'transformer', { dim: '64' }),
      /transformer\/config\.json.*dim/s,
    ],
    [
      'sizes below nothing',
      (path) => edit(path, 'text_encoder', { num_hidden_layers: -1 }),
      /text_encoder\/config\.json/,
    ],
    ['sizes beyond memory', (path) => edit(path, 'text_encoder', { hidden_size: 2 ** 40 }), /text_encoder/],
    ['channels that are not those', (path) => edit(path, 'vae', { latent_channels: 3 }), /vae/],
    ['no configuration', (path) => writeFileSync(join(path, 'vae/config.json'), '[]'), /vae\/config\.json/],
    [
      'half a configuration',
      (path) => writeFileSync(join(path, 'vae/config.json'), '{"la'),
      /vae\/config\.json/,
    ],
  ])('refuses a model with %s by its file, and leaves nothing', async (what, damage, message) => {
    const path = copy(`odd ${what}`);
    await damage(path);
    const before = tf.memory().numTensors;
    await expect(loadZImage(path, { dtype: 'float32' })).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('asks for what it reads, and nothing else', () => {
    const files = (places?: Parameters<typeof zImageRequiredFiles>[1]) =>
      zImageRequiredFiles('org/model', places).map(({ option, source: from }) => [option, from]);
    expect(files()).toEqual([['model', 'org/model']]);
    expect(files({ transformer: 'other.safetensors' })).toEqual([
      ['model', 'org/model'],
      ['transformer', 'other.safetensors'],
    ]);
  });
});

describe('saveZImage', () => {
  it('writes what fromPretrained reads, under the same names', async () => {
    const parts = await loadZImage(source, { dtype: 'float32', stacked: true });
    const path = join(folder, 'saved');
    mkdirSync(path);
    await saveZImage(path, parts);
    cpSync(join(source, 'tokenizer'), join(path, 'tokenizer'), { recursive: true });
    const names = async (root: string) => {
      const checkpoint = await openCheckpoint(join(root, 'transformer'));
      await checkpoint.close();
      return [...checkpoint.names].sort();
    };
    expect(await names(path)).toEqual(await names(source));
    expect(maxAbsDiff(await draw(path), expected)).toBeLessThan(1e-4);
    expect(Object.keys(unstackLayers(parts.transformer.params)).sort()).toEqual(await names(source));
  });
});

describe('generate', () => {
  it('checks sizes, latents and negative prompts before it draws', async () => {
    const model = await ZImage.fromPretrained(source, { dtype: 'float32' });
    const fails = (more: GenerateOptions) => model.generate(['a fox', 'a hen'], { ...options, ...more });
    await expect(fails({ size: [32, 40] })).rejects.toThrow(/multiples of 16 pixels, got 32 x 40/);
    await expect(fails({ latents: tf.zeros([1, 4, 6, 16]) })).rejects.toThrow(/latents must be \[2,4,6,16\]/);
    await expect(fails({ negativePrompt: ['a', 'b', 'c'] })).rejects.toThrow(/3 negative prompts/);
    await expect(fails({ guidanceScale: -1 })).rejects.toThrow(/guidanceScale/);
    await expect(fails({ size: [16 * 1000, 16] })).rejects.toThrow(/larger than the model/);
  });

  it('tells of every step, can be aborted, and keeps no tensors', async () => {
    const model = await ZImage.fromPretrained(source, { dtype: 'float32' });
    const abort = new AbortController();
    const run = (steps: number[], more: GenerateOptions = {}) =>
      model.generate(['a fox'], { ...options, ...more, onStep: ({ step }) => void steps.push(step) });
    const steps: number[] = [];
    tf.dispose(await run(steps));
    expect(steps).toEqual([1, 2]);
    const before = tf.memory().numTensors;
    tf.dispose(await run([]));
    expect(tf.memory().numTensors).toBe(before);
    abort.abort();
    await expect(run([], { signal: abort.signal })).rejects.toThrow();
    expect(tf.memory().numTensors).toBe(before);
  });
});
