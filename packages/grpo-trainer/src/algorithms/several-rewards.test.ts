/** Several rewards: GDPO beside the weighted sum, and rewards that compare a prompt's images, in every algorithm. */
import { type Scorer as AnyScorer, groupwise, multiScore, standardise } from '@flow-grpo/rewards';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import type { GrpoConfigInput } from '../config/schema';
import type { EpochMetrics } from '../epoch-metrics';
import type { Evaluation } from '../evaluate';
import { rewardAdvantages } from '../losses/gdpo';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { Scorer } from '../scorer';
import { train } from '../train';
import type { TrainOptions } from '../train-options';
import { advantagesWithin } from './advantage-options';
import { type AlgorithmName, algorithms } from './registry';

const coordinate = (axis: number, scale = 1): AnyScorer => ({
  name: 'xyz'[axis]!,
  async score(images) {
    const pixels = await (images as tf.Tensor4D).data();
    const scores = Array.from(
      { length: (images as tf.Tensor4D).shape[0] },
      (_, i) => scale * pixels[3 * i + axis]!,
    );
    return { scores, details: {} };
  },
});

async function run(scorer: Scorer, config: GrpoConfigInput, more: Partial<TrainOptions<never, never>> = {}) {
  const epochs: EpochMetrics[] = [];
  const evaluations: Evaluation[] = [];
  const policy = gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2 });
  const { trained, ema } = await train({
    policy,
    prompts: [{ prompt: 'a' }, { prompt: 'b' }],
    scorer,
    ...(more as object),
    config: {
      epochs: 3,
      evalEvery: 1000,
      saveEvery: 1000,
      sampling: { numSteps: 4, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 8 },
      training: { learningRate: 0.01, weightDecay: 0 },
      dgpo: { truncSteps: 3 },
      ema: { enabled: false },
      ...config,
    },
    onEpoch: (metrics) => void epochs.push(metrics),
    onEvaluation: (evaluation) => void evaluations.push(evaluation),
  });
  const means = [...trained['mean.weight']!.dataSync()];
  tf.dispose([trained, ema, policy.params]);
  return { epochs, evaluations, means };
}

const names = Object.keys(algorithms) as AlgorithmName[];

describe('a reward that compares the images of a prompt', () => {
  /** 1 for the image furthest right, down to 0. */
  const ranked = groupwise('rank', async ({ images }) => {
    const pixels = await (images as tf.Tensor4D).data();
    const xs = Array.from({ length: pixels.length / 3 }, (_, i) => pixels[3 * i]!);
    if (xs.length !== 8) throw new Error(`a group of ${xs.length}`);
    return xs.map((x) => xs.filter((other) => other < x).length / (xs.length - 1));
  }) as Scorer;

  it.each(names)('trains %s, given whole groups', async (algorithm) => {
    const { epochs, means } = await run(ranked, {
      algorithm,
      sampling: { numSteps: 4, shift: 1, promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 8 },
      training: { learningRate: 0.01, weightDecay: 0, updatesPerEpoch: 1 },
    });
    for (const { reward } of epochs) expect(reward).toBeCloseTo(0.5, 6);
    expect(means[0]).toBeGreaterThan(0.2);
  });

  it('refuses to be given parts of groups', async () => {
    const sampling = { promptsPerEpoch: 2, samplesPerPrompt: 8, batchSize: 4 };
    await expect(run(ranked, { sampling, training: { updatesPerEpoch: 1 } })).rejects.toThrow(
      /sampling.batchSize \(4\) cuts groups of 8 images, and the reward rank compares/,
    );
    // In a sum as well.
    const sum = multiScore([{ scorer: coordinate(1) }, { scorer: ranked as AnyScorer }]) as Scorer;
    await expect(run(sum, { sampling, training: { updatesPerEpoch: 1 } })).rejects.toThrow(/x?y\+rank/);
  });
});

describe('advantages: gdpo', () => {
  const scored = {
    prompts: ['a', 'a', 'a', 'b', 'b', 'b', 'c', 'c'],
    rewards: [1, 2, 3, 4, 5, 6, 7, Number.NaN],
    dropped: [false, false, false, false, false, false, false, true],
    details: { small: [0, 0, 1, 0, 1, 0, 5, Number.NaN], large: [900, 100, 100, 0, 0, 0, 8, Number.NaN] },
    weights: { small: 1, large: 0.5 },
  };

  it('is the mathematics of losses/gdpo, without the images that were dropped', () => {
    const found = advantagesWithin(scored.prompts, scored, { advantages: 'gdpo' });
    const kept = scored.prompts.slice(0, 7);
    const rewards = { small: scored.details.small.slice(0, 7), large: scored.details.large.slice(0, 7) };
    const expected = rewardAdvantages(kept, rewards, scored.weights, { aggregation: 'gdpo' });
    for (const [i, value] of expected.entries()) expect(found.advantages[i]).toBeCloseTo(value, 12);
    expect(found.advantages[6]).toBe(0); // alone in its group
    expect(found.advantages[7]).toBe(0);
    expect(found).toMatchObject({ groups: 3, zeroVarianceGroups: 1 });
  });

  it('gives a reward of small numbers its share, where the sum does not', () => {
    const [gdpo, sum] = (['gdpo', 'sum'] as const).map(
      (advantages) => advantagesWithin(scored.prompts, scored, { advantages }).advantages,
    );
    // Image 2 alone has the small reward; `rewards` here says nothing of it in group b.
    expect(gdpo![4]!).toBeGreaterThan(gdpo![3]!);
    expect(gdpo![4]!).toBeGreaterThan(gdpo![5]!);
    expect(sum![5]!).toBeGreaterThan(sum![4]!);
  });

  it('of one reward is its own comparison', () => {
    const { weights: _, details: __, ...rest } = scored;
    const { advantages } = advantagesWithin(rest.prompts, { ...rest, details: {} }, { advantages: 'gdpo' });
    expect(advantages[0]).toBeCloseTo(-(advantages[2] as number), 12);
    expect(advantages[1]).toBeCloseTo(0, 12);
  });

  it('says which part an image lacks', () => {
    const details = { ...scored.details, small: [0, Number.NaN, 1, 0, 1, 0, 5, 0] };
    expect(() => advantagesWithin(scored.prompts, { ...scored, details }, { advantages: 'gdpo' })).toThrow(
      /gdpo needs small of every image; of image 1 it is NaN/,
    );
  });

  it.each(names.filter((name) => 'advantages' in algorithms[name].options.shape))(
    'trains %s on two rewards of very different size',
    async (algorithm) => {
      const both = multiScore([
        { scorer: coordinate(0) },
        { scorer: coordinate(1, 1000), normalise: standardise() },
      ]) as Scorer;
      expect(both.weights).toEqual({ x: 1, 'y.normalised': 1 });
      const own = { ...(algorithm === 'dgpo' && { truncSteps: 3 }), advantages: 'gdpo' };
      const { means, epochs } = await run(both, { algorithm, [algorithm]: own });
      for (const mean of means) expect(mean).toBeGreaterThan(0.2);
      expect(epochs[0]).toHaveProperty('reward.x');
      expect(epochs[0]).toHaveProperty(['reward.y.normalised']);
    },
  );
});

describe('evalRewards', () => {
  const evalPrompts = [{ prompt: 'a' }, { prompt: 'b' }];

  it('watch evaluations, and train nothing', async () => {
    const trained = coordinate(0) as Scorer;
    const alone = await run(trained, {}, { evalPrompts });
    const watched = await run(
      trained,
      {},
      {
        evalPrompts,
        evalRewards: {
          second: coordinate(1) as Scorer,
          flat: (images: tf.Tensor4D) => Array(images.shape[0]).fill(7),
        },
      },
    );
    expect(watched.means).toEqual(alone.means);
    const [first, last] = [watched.evaluations[0]!, watched.evaluations.at(-1)!];
    expect(first.details.second).toHaveLength(2);
    expect(last.details.second).not.toEqual(first.details.second);
    expect(last.details.flat).toEqual([7, 7]);
    expect(last.scores).toEqual(alone.evaluations.at(-1)!.scores);
    expect(watched.epochs[0]).not.toHaveProperty(['reward.second']);
  });

  it('need names of their own', async () => {
    const sum = multiScore([{ scorer: coordinate(0) }, { scorer: coordinate(1) }]) as Scorer;
    await expect(run(sum, {}, { evalPrompts, evalRewards: { y: coordinate(1) as Scorer } })).rejects.toThrow(
      /evalRewards.y: .* give it another name/,
    );
  });
});
