import '@flow-grpo/tfjs-backend-xla';
import { type EpochMetrics, train } from '@flow-grpo/grpo-trainer';
import { type Showo2PolicyOptions, showo2Policy } from '@flow-grpo/showo2-model/policy';
import { maxAbs, maxAbsDiff } from '@flow-grpo/test-support';
import { random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { brightness, tinyShowo2 } from '../../../showo2-model/src/testing/tiny-policy';

const options = tinyShowo2({ layers: 2 });
const { params } = options;

describe.each([0, 3])('guidance %d', (guidanceScale) => {
  it('gives the same velocity and gradients from kept features as from the whole model', () => {
    const head = showo2Policy({ ...options, guidanceScale });
    const trained = Object.fromEntries(head.trainable.map((name) => [name, params[name]!]));
    const condition = head.encodePrompts(['red', 'blue']);
    const rows = tf.tensor1d([0, 1, 1], 'int32');
    const x = random.normal(random.key(9), [3, 4, 4, 4]);
    const t = tf.tensor1d([0.2, 0.5, 0.8]);
    const weights = random.normal(random.key(10), x.shape);
    const at = { x, t, condition, rows, purpose: 'sampling' } as const;
    const preparedFor = (weights: typeof trained) =>
      head.prepare!({ trained: weights, condition, purpose: 'sampling' });
    const { features, velocity } = head.velocity({ ...at, trained, prepared: preparedFor(trained) });
    const values = Object.values(trained);
    const whole = (...list: tf.Tensor[]) => {
      const now = Object.fromEntries(head.trainable.map((name, i) => [name, list[i]!]));
      return head.velocity({ ...at, trained: now, prepared: preparedFor(now) }).velocity;
    };
    const fast = (...list: tf.Tensor[]) => {
      const now = Object.fromEntries(head.trainable.map((name, i) => [name, list[i]!]));
      return head.velocityFromFeatures!({
        ...at,
        trained: now,
        features: features!,
        prepared: preparedFor(now),
      });
    };
    expect(fast(...values).dataSync()).toEqual(velocity.dataSync());
    const sum =
      (f: typeof whole) =>
      (...list: tf.Tensor[]) =>
        tf.sum(tf.mul(f(...list), weights)) as tf.Scalar;
    const expected = tf.grads(sum(whole))(values);
    const actual = tf.grads(sum(fast))(values);
    for (const [i, gradient] of expected.entries()) {
      const size = maxAbs(gradient.dataSync());
      expect(size, head.trainable[i]).toBeGreaterThan(0);
      expect(maxAbsDiff(actual[i]!.dataSync(), gradient.dataSync())).toBeLessThanOrEqual(1e-5 * size);
    }
  });
});

describe('training', () => {
  const run = async (more: Partial<Showo2PolicyOptions>, epochs: number) => {
    const metrics: EpochMetrics[] = [];
    const { trained, ema } = await train({
      policy: showo2Policy({ ...options, ...more }),
      prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
      scorer: brightness,
      config: {
        epochs,
        sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
        training: { learningRate: 3e-3, updatesPerEpoch: 1 },
        grpo: { clipRange: 0.1, beta: 0.01 },
      },
      onEpoch: (one) => void metrics.push(one),
    });
    const names = Object.keys(trained);
    tf.dispose([trained, ema]);
    return { metrics, names };
  };

  it.each([0, 3])('starts with ratio 1 and KL 0, guidance %d', async (guidanceScale) => {
    const { metrics } = await run({ guidanceScale }, 1);
    expect(metrics[0]!.maxRatioDeviation).toBe(0);
    expect(metrics[0]!.maxLogProbMismatch).toBeLessThan(1e-6);
    expect(metrics[0]!.kl).toBe(0);
    expect(metrics[0]!.gradNorm).toBeGreaterThan(0);
  });

  it('raises the reward, the head alone training', async () => {
    const { metrics, names } = await run({}, 12);
    expect(names.every((name) => name.startsWith('diffusion_head_'))).toBe(true);
    expect(metrics.at(-1)!.reward).toBeGreaterThan(metrics[0]!.reward + 0.02);
  });

  it('trains trunk weights too, text included', async () => {
    const { metrics, names } = await run({ train: ['showo.model.layers.1.*', 'diffusion_head_b.*'] }, 1);
    expect(names).toContain('showo.model.layers.1.self_attn.k_proj.weight');
    expect(metrics[0]!.maxLogProbMismatch).toBeLessThan(1e-6);
    expect(metrics[0]!.gradNorm).toBeGreaterThan(0);
  });
});
