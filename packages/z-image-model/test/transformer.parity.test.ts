import { stackLayers } from '@flow-grpo/nn';
import { expectClose, fixtureCases, maxAbs, numbers } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { parseTransformerConfig, refineCaptions, transformerSpecs, zImageVelocity } from '../src/index';
import { BLOCK_BASES } from '../src/stacks';
import { items, lengthsOf, lossOf, readCall, run, textStates } from './calls';
import { type CaseJson, Expectations, fromImage, imageOf, readCase } from './case';
import { wideTensors } from './wide';

await useWasm();

interface TransformerJson extends CaseJson {
  config: Record<string, unknown> & { calls: Record<string, unknown> };
  grad_norms: Record<string, number>;
  parameters_without_gradient: string[];
  wide: Parameters<typeof wideTensors>[0] & { config: Record<string, unknown> };
}

describe.each(fixtureCases('z-image-transformer'))('$name', ({ dir }) => {
  const { json, read, params: weights } = readCase<TransformerJson>(dir);
  const config = parseTransformerConfig(json.config, `${dir}/case.json`);
  const params = weights();
  const stacked = BLOCK_BASES.reduce(stackLayers, params);
  const inputs = read('inputs.safetensors');
  const outputs = new Expectations(read('outputs.safetensors'), json.tolerances, 'outputs');
  const calls = Object.keys(json.config.calls);

  it('has the parameters of the checkpoint', () => {
    const shapes = (record: Record<string, { shape: number[] }>) =>
      Object.fromEntries(Object.entries(record).map(([name, { shape }]) => [name, shape]));
    expect(shapes(transformerSpecs(config))).toEqual(shapes(params));
  });

  it.each(calls)('reproduces every tensor of the call %s', (name) => {
    const call = readCall(inputs, name);
    const intermediates = read('intermediates.safetensors');
    const own = Object.fromEntries(
      Object.entries(intermediates).filter(([key]) => key.startsWith(`${name}.`)),
    );
    const expected = new Expectations(own, json.tolerances, 'intermediates');
    const lengths = lengthsOf(config, call);
    const starts = (list: readonly number[]) =>
      list.map((_, i) => list.slice(0, i).reduce((a, b) => a + b, 0));
    const seen = (at: string, value: tf.Tensor) => {
      // layers.0 and its insides are layer_0 there.
      const key = `${name}.${at.replace(/^layers\.(\d+)/, 'layer_$1').replace(/^(\w+_refiner)\.(\d+)/, '$1_$2')}`;
      if (at === 'unified_lengths') {
        const mask = `${name}.unified_mask`;
        expect([...value.dataSync()]).toEqual(lengths.unified);
        if (expected.has(mask)) expect(masksOf(expected, mask)).toEqual(lengths.unified);
        return;
      }
      if (!expected.has(key)) return;
      if (/x_patches|x_embedded/.test(key)) {
        expected.compareConcatenated(key, value, lengths.image, starts(lengths.paddedImage));
      } else if (/cap_normed|cap_embedded/.test(key)) {
        expected.compareConcatenated(key, value, lengths.caption, starts(lengths.paddedCaption));
      } else if (value.rank === 2) {
        expected.compare(key, value);
      } else {
        const rows = /\.(x_|noise)/.test(key)
          ? lengths.paddedImage
          : /\.(cap_|context)/.test(key)
            ? lengths.paddedCaption
            : lengths.unified;
        // Tables of captions are the same for all.
        const [batch, ...rest] = [expected.shapeOf(key)[0]!, ...value.shape.slice(1)];
        const wide = value.shape[0] === batch ? value : tf.tile(value, [batch, ...rest.map(() => 1)]);
        expected.compareRows(key, wide, rows);
      }
    };
    const velocities = run(params, config, call, seen);
    for (const [i, v] of velocities.entries()) outputs.compare(`${name}.v.${i}`, fromImage(v));
    if (expected.has(`${name}.x_mask`)) {
      expect(masksOf(expected, `${name}.x_mask`)).toEqual(lengths.paddedImage);
    }
    if (expected.has(`${name}.cap_mask`)) {
      expect(masksOf(expected, `${name}.cap_mask`)).toEqual(lengths.paddedCaption);
    }
    expect(expected.forgotten).toEqual([]);
  });

  const positions = read('positions.safetensors');
  it.each(calls)('pads and places the tokens of the call %s as upstream', (name) => {
    const call = readCall(inputs, name);
    const lengths = lengthsOf(config, call);
    call.images.forEach(({ shape }, i) => {
      const columns = shape[1] / config.patchSize;
      const image = Array.from({ length: lengths.paddedImage[i]! }, (_, k) =>
        k < lengths.image[i]!
          ? [lengths.paddedCaption[i]! + 1, Math.floor(k / columns), k % columns]
          : [0, 0, 0],
      );
      const caption = Array.from({ length: lengths.paddedCaption[i]! }, (_, k) => [1 + k, 0, 0]);
      expect(numbers(positions[`${name}.x_positions.${i}`]!)).toEqual(image.flat());
      expect(numbers(positions[`${name}.cap_positions.${i}`]!)).toEqual(caption.flat());
      const padding = (total: number, real: number) =>
        Array.from({ length: total }, (_, k) => Number(k >= real));
      expect(numbers(positions[`${name}.x_is_pad.${i}`]!)).toEqual(padding(image.length, lengths.image[i]!));
      expect(numbers(positions[`${name}.cap_is_pad.${i}`]!)).toEqual(
        padding(caption.length, lengths.caption[i]!),
      );
    });
  });

  it.each(calls)('gives the same for the call %s with stacked blocks', (name) => {
    const names: string[] = [];
    const velocities = run(stacked, config, readCall(inputs, name), (each) => names.push(each));
    for (const [i, v] of velocities.entries()) outputs.compare(`${name}.v.${i}`, fromImage(v));
    expect(names.filter((each) => /^(layers|noise_refiner|context_refiner)/.test(each))).toEqual([]);
  });

  it.each(calls)(
    'gives the same for every item of the call %s alone, in one batch where they fit',
    (name) => {
      const call = readCall(inputs, name);
      call.images.forEach((image, i) => {
        const captions = refineCaptions(stacked, config, textStates([call.captions[i]!]));
        const x = tf.expandDims(image, 0) as tf.Tensor4D;
        const v = zImageVelocity(stacked, config, x, tf.slice(call.t, i, 1), captions);
        outputs.compare(`${name}.v.${i}`, fromImage(tf.squeeze(v, [0])));
      });
      const sizes = new Set(call.images.map(({ shape }) => shape.join()));
      if (sizes.size > 1) return;
      const captions = refineCaptions(stacked, config, textStates(call.captions));
      const v = zImageVelocity(stacked, config, tf.stack(call.images) as tf.Tensor4D, call.t, captions);
      for (const [i, each] of tf.unstack(v).entries()) {
        outputs.compare(`${name}.v.${i}`, fromImage(each as tf.Tensor3D));
      }
    },
  );

  const lossWeights = items(inputs, 'loss_weight').map(imageOf);
  const call = readCall(inputs, 'sizes');
  it.each([
    ['one by one', params],
    ['stacked', stacked],
  ])('has the gradients of the loss, blocks %s', (_, arranged) => {
    const names = Object.keys(arranged);
    const count = call.images.length;
    const { value, grads } = tf.valueAndGrads((...xs: tf.Tensor[]) => {
      const own = Object.fromEntries(names.map((name, i) => [name, xs[i]!]));
      const [t, ...rest] = xs.slice(names.length);
      const images = rest.slice(0, count) as tf.Tensor3D[];
      const captions = rest.slice(count) as tf.Tensor2D[];
      return lossOf(run(own, config, { images, captions, t: t! }), lossWeights);
    })([...names.map((name) => arranged[name]!), call.t, ...call.images, ...call.captions]);
    outputs.compare('loss', tf.reshape(value, [1]));
    const given: Record<string, tf.Tensor> = Object.fromEntries(names.map((name, i) => [name, grads[i]!]));
    const [t, ...rest] = grads.slice(names.length);
    given['input.t'] = t!;
    rest.slice(0, count).forEach((x, i) => {
      given[`input.x.${i}`] = fromImage(x as tf.Tensor3D);
    });
    rest.slice(count).forEach((x, i) => {
      given[`input.cap.${i}`] = x;
    });
    const flat = Object.fromEntries(
      Object.entries(given).flatMap(([name, x]) =>
        name.includes('*.')
          ? tf.unstack(x).map((layer, i): [string, tf.Tensor] => [name.replace('*', String(i)), layer])
          : [[name, x]],
      ),
    );
    const expected = new Expectations(read('grads.safetensors'), json.tolerances, 'grads');
    for (const [name, x] of Object.entries(flat)) if (expected.has(name)) expected.compare(name, x);
    expect(expected.forgotten).toEqual([]);
    for (const [name, norm] of Object.entries(json.grad_norms)) {
      const { suggested } = json.tolerances.grads!;
      const found = flat[name]!.dataSync();
      let squares = 0;
      for (const value of found) squares += value * value;
      const length = Math.sqrt(squares);
      const allowed = Math.max(
        suggested.relative_to_tensor_max! * norm,
        suggested.floor! * Math.sqrt(found.length),
      );
      expectClose([length], [norm], allowed, `norm of the gradient of ${name}`);
    }
    const without = json.parameters_without_gradient;
    for (const name of without) expect(maxAbs(flat[name]!.dataSync()), name).toBe(0);
    expect([...Object.keys(json.grad_norms), ...without].sort()).toEqual(Object.keys(flat).sort());
  });

  it('reproduces the wide model', () => {
    const { wide } = json;
    const wideConfig = parseTransformerConfig(wide.config, `${dir}/case.json, wide`);
    const made = wideTensors(wide, transformerSpecs(wideConfig), wideConfig);
    const expected = new Expectations(read('wide.safetensors'), json.tolerances, 'wide');
    const first = (name: string, values: ArrayLike<number>) => {
      const wanted = expected.values(name);
      expect(Array.from(values).slice(0, wanted.length), name).toEqual(wanted);
    };
    first('wide.x_embedder_weight_first', made.params['all_x_embedder.2-1.weight']!.dataSync());
    first('wide.attention_norm1_first', made.params['layers.0.attention_norm1.weight']!.dataSync());
    first('wide.t', made.call.t.dataSync());
    const seen = (at: string, value: tf.Tensor) => {
      const key = `wide.${at.replace(/^layers\.(\d+)$/, 'layer_$1').replace(/^(\w+_refiner)\.(\d+)$/, '$1_$2')}`;
      if (!expected.has(key)) return;
      const [, rows] = expected.shapeOf(key) as [number, number];
      expected.compare(key, value.rank === 2 ? value : tf.slice(value, [0, 0, 0], [-1, rows, -1]));
    };
    const velocities = run(made.params, wideConfig, made.call, seen);
    for (const [i, v] of velocities.entries()) expected.compare(`wide.v.${i}`, fromImage(v));
    expect(expected.forgotten).toEqual([]);
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
    const known = [...calls, 'loss_weight'];
    expect(Object.keys(inputs).filter((name) => !known.includes(name.split('.')[0]!))).toEqual([]);
    expect(Object.keys(positions).filter((name) => !calls.includes(name.split('.')[0]!))).toEqual([]);
  });
});

/** How many rows of each item a stored mask lets be attended to; they must be the first ones. */
function masksOf(expected: Expectations, name: string): number[] {
  const [batch, length] = expected.shapeOf(name) as [number, number];
  const values = expected.values(name);
  return Array.from({ length: batch }, (_, item) => {
    const row = values.slice(item * length, (item + 1) * length);
    const count = row.filter((x) => x === 1).length;
    expect(row).toEqual(Array.from({ length }, (_, i) => Number(i < count)));
    return count;
  });
}
