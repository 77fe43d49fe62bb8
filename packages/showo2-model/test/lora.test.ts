import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadParams } from '@flow-grpo/checkpoint-io';
import { unstackLayers } from '@flow-grpo/nn';
import { fixtureCases, maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import {
  encodePrompts,
  fromPeft,
  initLora,
  mergeLora,
  stackFrozen,
  toPeft,
  velocity,
  withLora,
} from '../src/index';
import { LAYER_BASES } from '../src/layers';
import { loadLora, saveLora } from '../src/node';
import { loadCase } from './case';

const folder = mkdtempSync(join(tmpdir(), 'showo2-lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

const { config, params } = loadCase(fixtureCases('showo2-tiny')[0]!.dir);
const shape = [
  1,
  config.gridHeight * config.patchSize,
  config.gridWidth * config.patchSize,
  config.latentChannels,
];
const velocityOf = (p: typeof params) => {
  const condition = encodePrompts(p, config, [[1, 2, 3]]);
  return velocity(p, config, tf.fill(shape, 0.3), tf.tensor1d([0.4]), condition, { guidanceScale: 3 })
    .velocity;
};
const run = (p: typeof params) => velocityOf(p).dataSync();
/** The model with all layers stacked; the given tensors stay. */
const stack = (p: typeof params) =>
  stackFrozen(Object.fromEntries(Object.entries(p).map(([name, x]) => [name, tf.clone(x)])));

const lora = { rank: 3, alpha: 6, patterns: [/diffusion_head_a.*self_attn\.[qv]_proj/, 'mlp.fc1'] };
const fresh = initLora(params, lora, 5);
const adapters = Object.fromEntries(
  Object.entries(fresh).map(([name, x]) => [name, name.includes('lora_B') ? tf.add(x, 0.05) : x]),
);

describe('LoRA', () => {
  it('changes nothing at first', () => {
    expect(maxAbsDiff(run(withLora(params, fresh, lora)), run(params))).toBe(0);
  });

  it('gives the same merged and as a low-rank path', () => {
    const path = run(withLora(params, adapters, lora));
    const merged = run(mergeLora(params, adapters, lora));
    expect(maxAbsDiff(path, run(params))).toBeGreaterThan(1e-3);
    expect(maxAbsDiff(path, merged)).toBeLessThan(1e-5 * maxAbs(merged));
  });

  it('is the same on stacked layers, all of them adapted or some', () => {
    const first = `${LAYER_BASES.trunk}0.self_attn.k_proj`;
    const some = { ...lora, patterns: [...lora.patterns, first] };
    const few = Object.fromEntries(
      Object.entries(initLora(params, some, 5)).map(([name, x]) => [name, tf.add(x, 0.05)]),
    );
    const expected = run(mergeLora(params, few, some));
    expect(maxAbsDiff(run(mergeLora(params, adapters, lora)), expected)).toBeGreaterThan(1e-4);
    const stacked = stack(params);
    expect(maxAbsDiff(run(withLora(stacked, few, some)), expected)).toBeLessThan(1e-5 * maxAbs(expected));
    const merged = mergeLora(stacked, few, some);
    expect(maxAbsDiff(run(merged), expected)).toBeLessThan(1e-5 * maxAbs(expected));
    const names = Object.values(LAYER_BASES).reduce(unstackLayers, merged);
    expect(Object.keys(names).sort()).toEqual(Object.keys(params).sort());
    expect(Object.keys(initLora(stacked, some, 5)).sort()).toEqual(Object.keys(few).sort());
  });

  it.each([
    ['one by one', (p: typeof params) => p],
    ['stacked', stack],
  ])('passes gradients to both factors, layers %s', (_, arrange) => {
    const base = arrange(params);
    const names = Object.keys(adapters);
    const { grads } = tf.valueAndGrads((...xs: tf.Tensor[]) => {
      const own = Object.fromEntries(names.map((name, i) => [name, xs[i]!]));
      return tf.mean(tf.square(velocityOf(withLora(base, own, lora)))) as tf.Scalar;
    })(names.map((name) => adapters[name]!));
    grads.forEach((grad, i) => {
      expect(maxAbs(grad.dataSync()), names[i]).toBeGreaterThan(0);
    });
  });

  it('lists adapters that do not fit the model', () => {
    const stray = {
      ...adapters,
      'nowhere.lora_A.weight': tf.zeros([3, 4]),
      'nowhere.lora_B.weight': tf.zeros([4, 3]),
      'fusion_proj.1.lora_A.weight': tf.zeros([3, 1]),
      'fusion_proj.1.lora_B.weight': tf.zeros([1, 3]),
    };
    for (const use of [withLora, mergeLora]) {
      expect(() => use(params, stray, lora)).toThrow(/nowhere: the model has no.*fusion_proj\.1: \[3,1\]/s);
    }
  });
});

/** A safetensors file by the format's text, so that reading is not tested with this project's writing. */
function writeSafetensors(
  file: string,
  tensors: Record<string, { shape: number[]; values: number[] }>,
): void {
  let end = 0;
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, values }]) => {
      const start = end;
      end += 4 * values.length;
      return [name, { dtype: 'F32', shape, data_offsets: [start, end] }];
    }),
  );
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = Object.values(tensors).map(({ values }) => Buffer.from(Float32Array.from(values).buffer));
  writeFileSync(file, Buffer.concat([length, json, ...data]));
}

/** The fields that PEFT writes for plain LoRA. */
const peftJson = {
  alpha_pattern: {},
  auto_mapping: { base_model_class: 'Showo2Qwen2_5', parent_library: 'models.modeling_showo2_qwen2_5' },
  base_model_name_or_path: 'showlab/show-o2-1.5B',
  bias: 'none',
  corda_config: null,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0.05,
  megatron_config: null,
  megatron_core: 'megatron.core',
  modules_to_save: null,
  peft_type: 'LORA',
  r: 2,
  rank_pattern: {},
  revision: null,
  target_modules: ['mlp.up_proj'],
  task_type: null,
  trainable_token_indices: null,
  use_dora: false,
  use_rslora: false,
};

describe('adapters in PEFT’s layout', () => {
  const name = 'diffusion_head_a.0.mlp.up_proj';
  const [out, into] = params[`${name}.weight`]!.shape as [number, number];
  const a = Array.from({ length: 2 * into }, (_, i) => ((i * 7) % 11) / 11 - 0.4);
  const b = Array.from({ length: out * 2 }, (_, i) => ((i * 5) % 13) / 13 - 0.5);
  const handMade = (at: string, json: object = peftJson) => {
    mkdirSync(at, { recursive: true });
    writeFileSync(join(at, 'adapter_config.json'), JSON.stringify(json));
    writeSafetensors(join(at, 'adapter_model.safetensors'), {
      [`base_model.model.${name}.lora_A.weight`]: { shape: [2, into], values: a },
      [`base_model.model.${name}.lora_B.weight`]: { shape: [out, 2], values: b },
    });
    return at;
  };

  it('are read and merged as W + alpha / r B A', async () => {
    const loaded = await loadLora(handMade(join(folder, 'hand')));
    expect(loaded).toMatchObject({ rank: 2, alpha: 8 });
    const merged = mergeLora(params, loaded.adapters, loaded);
    const weight = params[`${name}.weight`]!.dataSync();
    const expected = Float32Array.from(weight, (w, at) => {
      const [row, column] = [Math.floor(at / into), at % into];
      return w + 4 * (b[2 * row]! * a[column]! + b[2 * row + 1]! * a[into + column]!);
    });
    expect(maxAbsDiff(merged[`${name}.weight`]!.dataSync(), expected)).toBeLessThan(1e-6);
    const others = Object.keys(params).filter((each) => each !== `${name}.weight`);
    for (const each of others) expect(merged[each], each).toBe(params[each]);
  });

  it('are written as PEFT reads them', async () => {
    const at = join(folder, 'written');
    await saveLora(at, { adapters, rank: 3, alpha: 6 }, { baseModel: 'showlab/show-o2-1.5B' });
    expect(readdirSync(at).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const json = JSON.parse(readFileSync(join(at, 'adapter_config.json'), 'utf8'));
    expect(json).toMatchObject({
      ...{ peft_type: 'LORA', r: 3, lora_alpha: 6, bias: 'none' },
      base_model_name_or_path: 'showlab/show-o2-1.5B',
    });
    const stored = await loadParams(join(at, 'adapter_model.safetensors'));
    expect(Object.keys(stored).sort()).toEqual(
      Object.keys(adapters)
        .map((n) => `base_model.model.${n}`)
        .sort(),
    );
    // PEFT wraps the modules whose names are listed, or end in a listed name behind a dot.
    const layers = [
      ...new Set(Object.keys(adapters).map((each) => each.replace(/\.lora_[AB]\.weight$/, ''))),
    ];
    expect(json.target_modules).toEqual(layers);
    const back = await loadLora(at);
    expect(back).toMatchObject({ rank: 3, alpha: 6 });
    for (const [each, x] of Object.entries(adapters))
      expect([...back.adapters[each]!.dataSync()]).toEqual([...x.dataSync()]);
  });

  it.each([
    ['use_dora', true],
    ['use_rslora', true],
    ['bias', 'all'],
    ['lora_bias', true],
    ['fan_in_fan_out', true],
    ['modules_to_save', ['lm_head']],
    ['rank_pattern', { q_proj: 4 }],
    ['alpha_pattern', { q_proj: 4 }],
    ['init_lora_weights', 'pissa_niter_16'],
    ['init_lora_weights', 'a_later_one'],
    ['lora_dropout', 2],
    ['lora_alpha', 'high'],
    ['use_qalora', true],
    ['target_parameters', ['experts.weight']],
    ['trainable_token_indices', [1]],
    ['layer_replication', [[0, 2]]],
    ['megatron_config', { size: 2 }],
    ['loftq_config', { bits: 4 }],
    ['alora_invocation_tokens', [1, 2]],
    ['an_option_of_tomorrow', 'on'],
    ['another_of_tomorrow', 0],
    ['constructor', 'on'],
    ['peft_type', 'LOHA'],
    ['r', 0],
  ])('are refused by file and option with %s: %j, and leave no tensors', async (option, value) => {
    const at = handMade(mkdtempSync(join(folder, 'refused-')), { ...peftJson, [option]: value });
    const before = tf.memory().numTensors;
    await expect(loadLora(at)).rejects.toThrow(new RegExp(`adapter_config\\.json.*\\b${option}\\b`, 's'));
    expect(tf.memory().numTensors).toBe(before);
  });

  it.each([
    ['lora_dropout', 0],
    ['init_lora_weights', 'gaussian'],
    ['init_lora_weights', false],
    ['megatron_core', 'another.core'],
    ['qalora_group_size', 16],
    ['peft_version', '0.18.0'],
    ['use_a_feature_of_tomorrow', false],
    ['a_config_of_tomorrow', {}],
    ['a_list_of_tomorrow', []],
  ])('are read with %s: %j', async (option, value) => {
    const at = handMade(mkdtempSync(join(folder, 'read-')), { ...peftJson, [option]: value });
    const { adapters: read, ...scale } = await loadLora(at);
    expect(scale).toEqual({ rank: 2, alpha: 8 });
    tf.dispose(read);
  });

  it('stay as they were when what would be written could not be read', async () => {
    const at = mkdtempSync(join(folder, 'kept-'));
    await saveLora(at, { adapters, rank: 3, alpha: 6 });
    const before = readdirSync(at).map((file) => readFileSync(join(at, file), 'hex'));
    for (const [scale, message] of [
      [{ rank: 3, alpha: Number.NaN }, /lora_alpha/],
      [{ rank: 4, alpha: 6 }, /not of rank 4/],
      [{ rank: 1.5, alpha: 6 }, /\br\b/],
    ] as const) {
      await expect(saveLora(at, { adapters, ...scale })).rejects.toThrow(message);
    }
    const half = Object.fromEntries(Object.entries(adapters).filter(([each]) => each.includes('lora_A')));
    await expect(saveLora(at, { adapters: half, rank: 3, alpha: 6 })).rejects.toThrow('lora_B.weight');
    expect(readdirSync(at).map((file) => readFileSync(join(at, file), 'hex'))).toEqual(before);
  });

  it('name the file or tensor that is not there or too many', async () => {
    await expect(loadLora(folder)).rejects.toThrow(/adapter_config\.json cannot be read/);
    const bare = join(folder, 'bare');
    mkdirSync(bare);
    writeFileSync(join(bare, 'adapter_config.json'), JSON.stringify(peftJson));
    await expect(loadLora(bare)).rejects.toThrow(/neither adapter_model\.safetensors/);
    const { tensors, config: peft } = toPeft(adapters, lora);
    expect(() => fromPeft({ ...tensors, stray: tf.scalar(1) }, peft)).toThrow(/stray/);
    expect(() => fromPeft(tensors, { ...peft, r: 4 })).toThrow(/rank 4/);
  });
});
