import { expectClose, fixtureCases, maxAbs, numbers } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { forwardSequence, guide, parseShowo2Config, type SequenceInputs, tokenLogits } from '../src/index';
import { channelsFirst, channelsLast, loadCase, toPositions, toTensor } from './case';

const model = [...fixtureCases('showo2-tiny')];

describe.each([...model, ...fixtureCases('showo2-video'), ...fixtureCases('showo2-mixed')])(
  '$name',
  ({ dir }) => {
    const { config, params, read } = loadCase(dir);
    const given = read('inputs.safetensors');
    const inputs: SequenceInputs = {
      tokens: toTensor(given.text_tokens!),
      positions: toPositions(given.modality_positions!),
      latents: channelsLast(toTensor(given.latents!)),
      t: toTensor(given.t!),
      mask: toTensor(given.attention_mask!),
    };
    const outputs = read('outputs.safetensors');

    it('reproduces the velocity, the logits and every intermediate tensor', () => {
      const seen: Record<string, Float32Array> = {};
      const { velocity, hidden } = forwardSequence(params, config, inputs, (name, value) => {
        seen[name] = value.dataSync() as Float32Array;
      });
      for (const [name, expected] of Object.entries(read('intermediates.safetensors'))) {
        expect(seen[name], `${name} was not computed`).toBeDefined();
        expectClose(seen[name]!, numbers(expected), 5e-5, name);
      }
      expectClose(channelsFirst(velocity).dataSync(), numbers(outputs.v_pred!), 1e-4, 'v_pred');
      if (outputs.logits) {
        expectClose(tokenLogits(params, config, hidden).dataSync(), numbers(outputs.logits), 1e-4, 'logits');
      }
    });

    it('builds the same additive mask itself', () => {
      const { velocity } = forwardSequence(params, config, { ...inputs, mask: undefined });
      expectClose(channelsFirst(velocity).dataSync(), numbers(outputs.v_pred!), 1e-4, 'v_pred');
    });
  },
);

describe.each(model)('$name', ({ dir }) => {
  const { json, config, params, read } = loadCase(dir);
  const given = read('inputs.safetensors');
  const outputs = read('outputs.safetensors');
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
    expectClose(
      channelsFirst(guided(base.latents, base.t)).dataSync(),
      numbers(outputs.v_cfg!),
      1e-4,
      'v_cfg',
    );
    const times = numbers(outputs.ode_t!);
    const samples = numbers(outputs.ode_samples!);
    let x = base.latents;
    for (let i = 0; i < times.length; i++) {
      const expected = samples.slice(i * x.size, (i + 1) * x.size);
      expectClose(channelsFirst(x).dataSync(), expected, 1e-4, `ode_samples[${i}]`);
      if (i + 1 === times.length) break;
      const step = Math.fround(times[i + 1]! - times[i]!);
      x = tf.add(x, tf.mul(guided(x, tf.fill([x.shape[0]!], times[i]!)), step));
    }
  });

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
    const weight = channelsLast(toTensor(outputs.loss_weight!));
    const loss = expectGradients(
      file,
      (p) => tf.mean(tf.mul(forwardSequence(p, config, base).velocity, weight)) as tf.Scalar,
    );
    expectClose([loss], numbers(outputs.loss!), 1e-5, 'loss');
  });

  it('has the guided gradients with the unconditional velocity held constant', () => {
    const weight = channelsLast(toTensor(outputs.cfg_loss_weight!));
    const constant = forwardSequence(params, config, base).velocity;
    const [, u] = tf.split(constant, 2) as [tf.Tensor, tf.Tensor];
    const loss = expectGradients('grads_head_cfg.safetensors', (p) => {
      const [c] = tf.split(forwardSequence(p, config, base).velocity, 2) as [tf.Tensor];
      return tf.mean(tf.mul(guide(c, u, scale), weight)) as tf.Scalar;
    });
    expectClose([loss], numbers(outputs.cfg_loss!), 1e-5, 'cfg_loss');
  });
});

it('refuses a configuration with a missing size by name', () => {
  expect(() => parseShowo2Config({ image_latent_height: 3 }, 'config.json')).toThrow(
    /config\.json.*hidden_size/s,
  );
});
