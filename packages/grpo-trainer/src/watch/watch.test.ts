/** The watch in whole runs: rewards that are paid for something else than was meant, and one that is not. */
import { jpegCompressibility } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { memoryStore } from '../checkpoint/memory-store';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { Policy } from '../policy';
import { randomAt } from '../random';
import type { RewardFunction, Scorer } from '../scorer';
import { train } from '../train';

const SIDE = 12;
const PATTERNS = 3;

/** Pictures 12 × 12: grey plus a few rough patterns, whose strengths and the grey level are what the flow draws. */
function pictures(mean: readonly number[]): Policy {
  const flow = gaussianFlow({ prompts: ['a', 'b'], mean, std: 0.05 });
  const random = randomAt(11);
  const patterns = tf.keep(
    tf.tensor2d(
      Array.from({ length: PATTERNS }, () => Array.from({ length: SIDE * SIDE * 3 }, () => random() - 0.5)),
    ),
  );
  return {
    ...flow,
    decode: (latents) => {
      const grey = tf.slice(latents as tf.Tensor2D, [0, 0], [-1, 1]);
      const strengths = tf.slice(latents as tf.Tensor2D, [0, 1], [-1, PATTERNS]);
      const images = tf.add(grey, tf.matMul(strengths, patterns as tf.Tensor2D));
      return tf.clipByValue(tf.reshape(images, [-1, SIDE, SIDE, 3]), 0, 1) as tf.Tensor4D;
    },
  } as Policy;
}

const START = [0.5, 0.5, 0.5, 0.5];

async function run(scorer: Scorer | RewardFunction, config: GrpoConfigInput = {}) {
  const messages: string[] = [];
  const epochs: EpochMetrics[] = [];
  const result = await train({
    policy: pictures(START),
    prompts: [{ prompt: 'a' }, { prompt: 'b' }],
    scorer,
    store: memoryStore(),
    onMessage: (message) => void messages.push(message),
    onEpoch: (metrics) => void epochs.push(metrics),
    config: {
      epochs: 24,
      saveEvery: 5,
      evalEvery: 1000,
      sampling: {
        numSteps: 6,
        shift: 1,
        promptsPerEpoch: 2,
        samplesPerPrompt: 12,
        window: { start: 1, end: 5 },
      },
      training: { learningRate: 0.02, beta2: 0.99, weightDecay: 0 },
      grpo: { clipRange: 0.2, globalStd: false },
      divergence: { action: 'off' },
      ...config,
      hacking: { window: 4, ...config.hacking },
    },
  });
  tf.dispose([result.trained, result.ema]);
  return { result, messages, epochs };
}

const warnings = (messages: readonly string[]) => messages.filter((text) => text.includes('hacked'));

/** Paid for light. */
async function bright(images: tf.Tensor4D) {
  const mean = tf.tidy(() => tf.mean(images, [1, 2, 3]));
  const values = await mean.data();
  mean.dispose();
  return values;
}

/** Wants the first pattern strong and the second weak, with as much contrast as before. */
const wanted: RewardFunction = async (images) => {
  const strengths = tf.tidy(() => {
    const centred = tf.sub(images, tf.mean(images, [1, 2, 3], true));
    return tf.sqrt(tf.mean(tf.square(centred), [1, 2, 3]));
  });
  const values = await strengths.data();
  strengths.dispose();
  return Array.from(values, (value) => -((value - 0.3) ** 2) * 100);
};

describe('the watch on reward hacking', () => {
  it('names what brightness as a reward does', async () => {
    const { result, messages, epochs } = await run(bright);
    expect(result.reason).toBe('finished');
    expect(warnings(messages).join('\n')).toMatch(
      /while the reward rose from .*images grow bright \(images.brightness went from .*Look at the images/,
    );
    expect(epochs.at(-1)!['images.brightness']).toBeGreaterThan(epochs[0]!['images.brightness']! + 0.12);
  });

  it('names what the size of a JPEG does', async () => {
    const { messages } = await run(jpegCompressibility() as Scorer);
    expect(warnings(messages).join('\n')).toMatch(/blurred or flat|edges vanish/);
  });

  it('is silent while a reward is earned', async () => {
    const { messages, epochs } = await run(wanted);
    expect(epochs.at(-1)!.reward).toBeGreaterThan(epochs[0]!.reward);
    expect(warnings(messages)).toEqual([]);
  });

  it('stops a run where it is asked to', async () => {
    const { result } = await run(bright, { hacking: { action: 'stop' } });
    expect(result.reason).toBe('hacked');
    expect(result.epochs).toBeLessThan(24);
    expect(result.problem).toMatch(
      /^The reward may be hacked: epoch .* The last good checkpoint is memory, epoch \d+/,
    );
  });

  it('rolls back where it is asked to, with half the learning rate', async () => {
    const { result, messages, epochs } = await run(bright, {
      hacking: { action: 'rollback' },
      divergence: { action: 'off', maxRollbacks: 1 },
    });
    expect(messages.filter((text) => text.includes('Rolling back to epoch'))).toHaveLength(1);
    expect(epochs.at(-1)!.learningRate).toBeCloseTo(0.01, 9);
    expect(['hacked', 'finished']).toContain(result.reason);
  });

  it('measures nothing where it is off', async () => {
    const off = { hacking: { action: 'off' }, divergence: { action: 'off' }, epochs: 2 } as const;
    const { epochs } = await run(bright, off);
    expect(Object.keys(epochs[0]!).filter((name) => /^images\.|velocity|stepKl/.test(name))).toEqual([]);
    const { epochs: on } = await run(bright, { epochs: 2 });
    expect(on.map(({ reward }) => reward)).toEqual(epochs.map(({ reward }) => reward));
  });
});
