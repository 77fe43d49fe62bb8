import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { fromPeft, loadLora, loadParams, saveLora, toPeft } from '../index';

const folder = mkdtempSync(join(tmpdir(), 'peft-'));
afterAll(() => rmSync(folder, { recursive: true }));

const drawn = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);
const adapters = {
  'blocks.0.attn.q_proj.lora_A.weight': drawn([3, 5], 1),
  'blocks.0.attn.q_proj.lora_B.weight': drawn([4, 3], 2),
  'blocks.1.mlp.fc1.lora_A.weight': drawn([3, 4], 3),
  'blocks.1.mlp.fc1.lora_B.weight': drawn([6, 3], 4),
};

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
  const name = 'blocks.0.mlp.up_proj';
  const [out, into] = [6, 5];
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

  it('are read as they are stored, under the layers’ names', async () => {
    const { adapters: read, ...scale } = await loadLora(handMade(join(folder, 'hand')));
    expect(scale).toEqual({ rank: 2, alpha: 8 });
    expect(Object.keys(read).sort()).toEqual([`${name}.lora_A.weight`, `${name}.lora_B.weight`]);
    expect([...read[`${name}.lora_A.weight`]!.dataSync()]).toEqual(a.map(Math.fround));
    expect([...read[`${name}.lora_B.weight`]!.dataSync()]).toEqual(b.map(Math.fround));
    tf.dispose(read);
  });

  it.each<[string, Record<string, { shape: number[]; values: number[] }>, RegExp]>([
    ['none', {}, /adapter_config.json: there are no adapters/],
    [
      'a NaN',
      { A: { shape: [2, 1], values: [0, Number.NaN] }, B: { shape: [1, 2], values: [0, 0] } },
      /adapter_model.safetensors: .*x.lora_A.weight holds NaN/,
    ],
    [
      'an infinity',
      { A: { shape: [2, 1], values: [0, 1] }, B: { shape: [1, 2], values: [0, Number.NEGATIVE_INFINITY] } },
      /x.lora_B.weight holds -Infinity/,
    ],
    [
      'another rank',
      { A: { shape: [3, 1], values: [0, 1, 2] }, B: { shape: [1, 3], values: [0, 0, 0] } },
      /'x' is not of rank 2: \[3,1\] and \[1,3\]/,
    ],
    [
      'ranks that differ',
      { A: { shape: [2, 1], values: [0, 1] }, B: { shape: [1, 3], values: [0, 0, 0] } },
      /not of rank 2/,
    ],
    ['one factor', { A: { shape: [2, 1], values: [0, 1] } }, /'x' has no lora_B.weight/],
    ['a bias', { A: { shape: [2], values: [0, 1] }, B: { shape: [1, 2], values: [0, 0] } }, /not of rank 2/],
  ])('with %s are refused by their name, and nothing of them stays', async (what, factors, message) => {
    const at = handMade(join(folder, `odd ${what}`));
    writeSafetensors(
      join(at, 'adapter_model.safetensors'),
      Object.fromEntries(
        Object.entries(factors).map(([factor, tensor]) => [
          `base_model.model.x.lora_${factor}.weight`,
          tensor,
        ]),
      ),
    );
    const before = tf.memory().numTensors;
    await expect(loadLora(at)).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
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
    ['use_rslora', 'yes'],
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

  it('are read as PEFT itself wrote them, started so that they change nothing', async () => {
    // By PEFT 0.21.2: LoraConfig(r=4, lora_alpha=8, use_rslora=True, init_lora_weights='orthogonal').
    const { adapters: read, ...scale } = await loadLora(
      fileURLToPath(new URL('../../test/data/peft', import.meta.url)),
    );
    expect(scale).toEqual({ rank: 4, alpha: 8, useRslora: true });
    const layers = ['attn.q_proj', 'mlp.fc1'].flatMap((part) => [0, 1].map((i) => `blocks.${i}.${part}`));
    const names = layers.flatMap((each) => ['A', 'B'].map((factor) => `${each}.lora_${factor}.weight`));
    expect(Object.keys(read).sort()).toEqual(names.sort());
    for (const each of layers) {
      const [down, up] = ['A', 'B'].map((factor) => read[`${each}.lora_${factor}.weight`] as tf.Tensor2D);
      expect(Math.max(...tf.abs(down!).dataSync())).toBeGreaterThan(0.01);
      expect(Math.max(...tf.abs(tf.matMul(up!, down!)).dataSync())).toBeLessThan(1e-6);
    }
    tf.dispose(read);
  });

  it('say that their scale is rank-stabilised', async () => {
    const at = handMade(mkdtempSync(join(folder, 'rslora-')), { ...peftJson, use_rslora: true });
    const { adapters: read, ...scale } = await loadLora(at);
    expect(scale).toEqual({ rank: 2, alpha: 8, useRslora: true });
    await saveLora(join(folder, 'rslora'), { adapters: read, ...scale });
    const { adapters: again, ...kept } = await loadLora(join(folder, 'rslora'));
    expect(kept).toEqual(scale);
    const json = JSON.parse(readFileSync(join(folder, 'rslora', 'adapter_config.json'), 'utf8'));
    expect(json.use_rslora).toBe(true);
    tf.dispose([read, again]);
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
    const { tensors, config: peft } = toPeft({ adapters, rank: 3, alpha: 6 });
    expect(() => fromPeft({ ...tensors, stray: tf.scalar(1) }, peft)).toThrow(/stray/);
    expect(() => fromPeft(tensors, { ...peft, r: 4 })).toThrow(/rank 4/);
  });
});
