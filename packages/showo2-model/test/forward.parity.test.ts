import { stackLayers } from '@flow-grpo/nn';
import { expectClose, fixtureCases, maxAbs, numbers } from '@flow-grpo/test-support';
import { useWasm } from '@flow-grpo/test-support/wasm';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { guide } from '../src/guidance';
import {
  forwardSequence,
  parseShowo2Config,
  type SequenceInputs,
  SHOWO2_LAYER_BASES,
  trainableNames,
} from '../src/index';
import { tokenLogits } from '../src/trunk/trunk';
import { channelsFirst, channelsLast, Expectations, loadCase, toPositions, toTensor } from './case';

await useWasm();

const model = [...fixtureCases('showo2-tiny')];

describe.each([...model, ...fixtureCases('showo2-video'), ...fixtureCases('showo2-mixed')])(
  '$name',
  ({ dir }) => {
    const { json, config, params, read } = loadCase(dir);
    const given = read('inputs.safetensors');
    const inputs: SequenceInputs = {
      tokens: toTensor(given.text_tokens!),
      positions: toPositions(given.modality_positions!),
      latents: channelsLast(toTensor(given.latents!)),
      t: toTensor(given.t!),
      mask: toTensor(given.attention_mask!),
    };
    const accuracy = json.float32_vs_float64;
    const outputs = new Expectations(read('outputs.safetensors'), accuracy);

    it('reproduces the velocity, the logits and every intermediate tensor', () => {
      const expected = new Expectations(read('intermediates.safetensors'), accuracy, 'intermediates/');
      const { velocity, hidden } = forwardSequence(params, config, inputs, (name, value) => {
        if (expected.has(name)) expected.compare(name, value);
      });
      expect(expected.forgotten).toEqual([]);
      outputs.compare('v_pred', channelsFirst(velocity));
      if (outputs.has('logits')) outputs.compare('logits', tokenLogits(params, config, hidden));
    });

    it('builds the same additive mask itself', () => {
      const { velocity } = forwardSequence(params, config, { ...inputs, mask: undefined });
      outputs.compare('v_pred', channelsFirst(velocity));
    });

    it('is the same with stacked layers', () => {
      const stacked = Object.values(SHOWO2_LAYER_BASES).reduce(stackLayers, params);
      const names: string[] = [];
      const run = forwardSequence(stacked, config, inputs, (name) => names.push(name));
      outputs.compare('v_pred', channelsFirst(run.velocity));
      if (outputs.has('logits')) outputs.compare('logits', tokenLogits(stacked, config, run.hidden));
      expect(names.filter((name) => /layer_|head_a/.test(name))).toEqual([]);
    });
  },
);

describe.each(model)('$name', ({ dir }) => {
  const { json, config, params, read } = loadCase(dir);
  const given = read('inputs.safetensors');
  const outputs = new Expectations(read('outputs.safetensors'), json.float32_vs_float64);
  outputs.values('v_pred'); // compared above, with the logits
  if (outputs.has('logits')) outputs.values('logits');
  const base: SequenceInputs = {
    tokens: toTensor(given.text_tokens!),
    positions: toPositions(given.modality_positions!),
    latents: channelsLast(toTensor(given.latents!)),
    t: toTensor(given.t!),
  };
  const scale = json.config.guidance_scale;

  it('guides and integrates the ODE as upstream', () => {
    const guided = (latents: tf.Tensor, t: tf.Tensor) => {
      const { velocity } = forwardSequence(params, config, { ...base, latents, t });
      const [c, u] = tf.split(velocity, 2) as [tf.Tensor, tf.Tensor];
      const v = guide(c, u, scale);
      return tf.concat([v, v], 0);
    };
    outputs.compare('v_cfg', channelsFirst(guided(base.latents, base.t)));
    const times = outputs.values('ode_t');
    const points: tf.Tensor[] = [base.latents];
    for (let i = 0; i + 1 < times.length; i++) {
      const x = points[i]!;
      const step = Math.fround(times[i + 1]! - times[i]!);
      points.push(tf.add(x, tf.mul(guided(x, tf.fill([x.shape[0]!], times[i]!)), step)));
    }
    outputs.compare('ode_samples', tf.stack(points.map(channelsFirst)));
  });

  it('splits into the two branches of guidance', () => {
    const [c, u] = tf.split(forwardSequence(params, config, base).velocity, 2) as [tf.Tensor, tf.Tensor];
    outputs.compare('v_cond', channelsFirst(c));
    outputs.compare('v_uncond', channelsFirst(u));
  });

  const tensors = read('outputs.safetensors');
  const weightOf = (name: string) => {
    outputs.values(name);
    return channelsLast(toTensor(tensors[name]!));
  };
  const expectGradients = (file: string, loss: (p: typeof params) => tf.Scalar) => {
    const expected = read(file);
    const names = Object.keys(expected);
    const { value, grads } = tf.valueAndGrads((...xs: tf.Tensor[]) =>
      loss({ ...params, ...Object.fromEntries(names.map((name, i) => [name, xs[i]!])) }),
    )(names.map((name) => params[name]!));
    names.forEach((name, i) => {
      const want = numbers(expected[name]!);
      expectClose(grads[i]!.dataSync(), want, Math.max(1e-4 * maxAbs(want), 1e-7), name);
    });
    return value.dataSync()[0]!;
  };

  it.each(['grads_head.safetensors', 'grads_all.safetensors'])('has the gradients of %s', (file) => {
    const weight = weightOf('loss_weight');
    const loss = expectGradients(
      file,
      (p) => tf.mean(tf.mul(forwardSequence(p, config, base).velocity, weight)) as tf.Scalar,
    );
    expectClose([loss], outputs.values('loss'), 1e-5, 'loss');
  });

  it('has the guided gradients with the unconditional velocity held constant', () => {
    const weight = weightOf('cfg_loss_weight');
    const constant = forwardSequence(params, config, base).velocity;
    const [, u] = tf.split(constant, 2) as [tf.Tensor, tf.Tensor];
    const loss = expectGradients('grads_head_cfg.safetensors', (p) => {
      const [c] = tf.split(forwardSequence(p, config, base).velocity, 2) as [tf.Tensor];
      return tf.mean(tf.mul(guide(c, u, scale), weight)) as tf.Scalar;
    });
    expectClose([loss], outputs.values('cfg_loss'), 1e-5, 'cfg_loss');
  });

  it('has gradients of every parameter', () => {
    const all = trainableNames(params, ['all'], config.trunk).sort();
    const without = json.parameters_without_gradient ?? [];
    const given = Object.keys(read('grads_all.safetensors'));
    expect([...given, ...without].sort()).toEqual(all);
    expect(Object.keys(read('grads_head.safetensors')).sort()).toEqual(trainableNames(params).sort());
  });

  it('leaves no output of the case uncompared', () => {
    expect(outputs.forgotten).toEqual([]);
  });
});

it('refuses a configuration with a missing size by name', () => {
  expect(() => parseShowo2Config({ image_latent_height: 3 }, 'config.json')).toThrow(
    /config\.json.*hidden_size/s,
  );
});
