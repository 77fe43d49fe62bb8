import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadLora, loadParams, openCheckpoint, saveLora, saveSafetensors } from '@flow-grpo/checkpoint-io';
import { initLora, loraTargets, mergeLora, stackLayers, unstackLayers, withLora } from '@flow-grpo/nn';
import { expectClose, fixtureCases, readJson, readTensors } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, it } from 'vitest';
import { parseTransformerConfig } from '../src/index';
import { LORA_TARGETS } from '../src/policy';
import { BLOCK_BASES } from '../src/stacks';
import { items, lossOf, readCall, run } from './calls';
import { type CaseJson, Expectations, fromImage, imageOf, readCase } from './case';

await useWasm();

interface LoraJson extends CaseJson {
  config: Record<string, unknown> & {
    r: number;
    lora_alpha: number;
    target_modules: string[];
    adapters: number;
  };
  weights: string;
  /** A path, then what of it is used. */
  inputs: string;
  grad_norms: Record<string, number>;
}

const folder = mkdtempSync(join(tmpdir(), 'z-image-lora-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(fixtureCases('z-image-lora'))('$name', async ({ dir }) => {
  const { json, read, params: weights, at } = readCase<LoraJson>(dir);
  const params = weights();
  const model = join(at(json.weights), '..');
  const config = parseTransformerConfig(readJson(model, 'config.json'), `${model}/config.json`);
  const inputs = readTensors(dir, json.inputs.split(' ')[0]!);
  const outputs = new Expectations(read('outputs.safetensors'), json.tolerances, 'outputs');
  const loaded = await loadLora(join(dir, 'pytorch_lora_weights.safetensors'));
  const stack = (all: typeof params) => BLOCK_BASES.reduce(stackLayers, all);
  const stacked = stack(params);
  const compare = (name: string, call: string, all: typeof params) => {
    for (const [i, v] of run(all, config, readCall(inputs, call)).entries()) {
      outputs.compare(`${name}.${i}`, fromImage(v));
    }
  };

  it('reads both layouts alike, alpha from the header', async () => {
    const { r: rank, lora_alpha: alpha } = json.config;
    expect(loaded).toMatchObject({ rank, alpha });
    const peft = await loadLora(dir);
    expect(peft).toMatchObject({ rank, alpha });
    expect(Object.keys(peft.adapters).sort()).toEqual(Object.keys(loaded.adapters).sort());
    expect(Object.keys(loaded.adapters)).toHaveLength(2 * json.config.adapters);
    for (const [name, x] of Object.entries(peft.adapters)) {
      expect(x.dataSync(), name).toEqual(loaded.adapters[name]!.dataSync());
    }
  });

  it("targets by default what diffusers' training script targets", () => {
    const targets = json.config.target_modules.map((name) => `*.${name}`);
    const made = initLora(stacked, { rank: json.config.r, alpha: 1, targets }, 1);
    expect(Object.keys(made).sort()).toEqual(Object.keys(loaded.adapters).sort());
    const isDefault = [...targets].sort().join() === '*.to_k,*.to_out.0,*.to_q,*.to_v';
    if (isDefault)
      expect(loraTargets(stacked, LORA_TARGETS).sort()).toEqual(loraTargets(stacked, targets).sort());
    for (const [name, { shape }] of Object.entries(made)) {
      expect(shape, name).toEqual(loaded.adapters[name]!.shape);
    }
  });

  it.each([
    ['one by one', params],
    ['stacked', stacked],
  ])('gives the velocities with adapters, blocks %s', (_, arranged) => {
    const { adapters, rank, alpha } = loaded;
    const adapted = withLora(arranged, adapters, loaded);
    compare('same.v', 'same', adapted);
    compare('sizes.v', 'sizes', adapted);
    compare('same.v_scale_half', 'same', withLora(arranged, adapters, { rank, alpha: alpha / 2 }));
    compare('same.v_merged', 'same', mergeLora(arranged, adapters, loaded));
  });

  it('takes alpha = rank where the header says nothing', async () => {
    const at = join(folder, 'bare.safetensors');
    await saveSafetensors(at, await loadParams(join(dir, 'pytorch_lora_weights.safetensors')));
    const bare = await loadLora(at);
    expect(bare.alpha).toBe(bare.rank);
    compare('same.v_without_metadata', 'same', withLora(stacked, bare.adapters, bare));
  });

  it('merges to the same weights', () => {
    const merged = unstackLayers(mergeLora(stacked, loaded.adapters, loaded));
    const names = Object.keys(read('outputs.safetensors')).filter((name) => name.startsWith('merged.'));
    for (const name of names) {
      const wanted = outputs.values(name);
      const { absolute } = json.tolerances.outputs!.suggested;
      expectClose(merged[name.slice('merged.'.length)]!.dataSync(), wanted, absolute!, name);
    }
    expect(names.length).toBeGreaterThan(0);
    expect(Object.keys(merged).sort()).toEqual(Object.keys(params).sort());
  });

  it.each([
    ['one by one', params],
    ['stacked', stacked],
  ])('has the gradients of every factor, blocks %s', (_, arranged) => {
    const names = Object.keys(loaded.adapters);
    const lossWeights = items(inputs, 'loss_weight').map(imageOf);
    const call = readCall(inputs, 'sizes');
    const { value, grads } = tf.valueAndGrads((...xs: tf.Tensor[]) => {
      const own = Object.fromEntries(names.map((name, i) => [name, xs[i]!]));
      return lossOf(run(withLora(arranged, own, loaded), config, call), lossWeights);
    })(names.map((name) => loaded.adapters[name]!));
    outputs.compare('loss', tf.reshape(value, [1]));
    const expected = new Expectations(read('grads.safetensors'), json.tolerances, 'grads');
    for (const [i, name] of names.entries()) expected.compare(name, grads[i]!);
    expect(expected.forgotten).toEqual([]);
    for (const [i, name] of names.entries()) {
      const norm = json.grad_norms[name]!;
      const length = Math.hypot(...grads[i]!.dataSync());
      expectClose(
        [length],
        [norm],
        json.tolerances.grads!.suggested.relative_to_tensor_max! * norm + 1e-7,
        name,
      );
    }
  });

  it("writes diffusers' layout", async () => {
    const out = join(folder, 'written');
    await saveLora(out, loaded, { layout: 'diffusers' });
    const file = join(out, 'pytorch_lora_weights.safetensors');
    const names = async (path: string) => {
      const checkpoint = await openCheckpoint(path);
      await checkpoint.close();
      return { names: [...checkpoint.names].sort(), metadata: checkpoint.metadata };
    };
    const [own, theirs] = await Promise.all([
      names(file),
      names(join(dir, 'pytorch_lora_weights.safetensors')),
    ]);
    expect(own.names).toEqual(theirs.names);
    const config = JSON.parse(String(own.metadata.lora_adapter_metadata));
    const wanted = JSON.parse(String(theirs.metadata.lora_adapter_metadata));
    for (const key of ['r', 'lora_alpha', 'peft_type', 'bias', 'use_dora', 'use_rslora', 'lora_dropout']) {
      expect(config[`transformer.${key}`], key).toEqual(wanted[`transformer.${key}`]);
    }
    const back = await loadLora(out);
    expect(back).toMatchObject({ rank: loaded.rank, alpha: loaded.alpha });
    for (const [name, x] of Object.entries(loaded.adapters)) {
      expect(back.adapters[name]!.dataSync(), name).toEqual(x.dataSync());
    }
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});
