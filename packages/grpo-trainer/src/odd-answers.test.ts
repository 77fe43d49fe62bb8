/** Scorers and policies that do not keep their word: each ends the run with an error that names them, and leaves no tensor. */
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import '@tensorflow/tfjs-backend-cpu';
import { gaussianFlow } from './policies/gaussian-flow';
import type { Policy } from './policy';
import { asScorer, type Scorer } from './scorer';
import { train } from './train';
import type { TrainOptions } from './train-options';

const examples = ['a', 'b'].map((prompt) => ({ prompt, metadata: { include: [{ count: 2 }] } }));
const flow = () =>
  gaussianFlow({ prompts: ['a', 'b'], mean: [0.2, 0.2], std: 0.2, withFeatures: true }) as Policy;
const first = async (images: tf.Tensor4D) => {
  const pixels = await images.data();
  return Array.from({ length: images.shape[0] }, (_, i) => pixels[3 * i]!);
};

async function run(more: Partial<TrainOptions<unknown, unknown>>, algorithm: 'grpo' | 'nft' = 'grpo') {
  const policy = more.policy ?? flow();
  const before = tf.memory().numTensors;
  const outcome = await train({
    prompts: examples,
    scorer: first,
    ...more,
    policy,
    config: {
      algorithm,
      epochs: 2,
      sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4, batchSize: 4 },
      training: { learningRate: 0.01 },
      hacking: { action: 'off' },
    },
  }).then(
    ({ trained, ema, ...result }) => {
      tf.dispose([trained, ema]);
      return result;
    },
    (error: Error) => error.message,
  );
  return { outcome, left: tf.memory().numTensors - before };
}

const never = (value: unknown): never => value as never;
const four = [1, 2, 3, 4];

describe('a reward', () => {
  it.each<[string, () => unknown, RegExp]>([
    ['nothing', () => undefined, /Scorer odd gave nothing for rewards: it must be a list of one number per/],
    ['a number', () => 0.5, /Scorer odd gave 0.5 for rewards/],
    ['a tensor', () => tf.ones([4]), /Scorer odd gave a tensor \[4\] for rewards: .* await tensor.data\(\)/],
    ['a text', () => '1234', /Scorer odd gave the text "1234" for rewards/],
    ['an object', () => ({ scores: four }), /Scorer odd gave an object for rewards/],
    ['too few', () => [1, 2], /Scorer odd gave 2 rewards for 4 images/],
    ['too many', () => new Float32Array(5), /Scorer odd gave 5 rewards for 4 images/],
    ['none', () => [], /Scorer odd gave 0 rewards for 4 images/],
    ['texts', () => ['1', '2', '3', '4'], /Scorer odd gave the text "1" among the rewards/],
    ['a gap', () => new Array(4), /Scorer odd gave nothing among the rewards/],
    ['bits', () => [true, false, true, true], /Scorer odd gave true among the rewards/],
    ['64-bit integers', () => new BigInt64Array(4), /Scorer odd gave 0 among the rewards/],
    ['lists', () => [[1], [2], [3], [4]], /Scorer odd gave a list among the rewards/],
    ['NaN', () => [1, 2, Number.NaN, 4], /Scorer odd gave NaN for "[ab]"/],
    ['an infinity', () => [1, Number.POSITIVE_INFINITY, 3, 4], /Scorer odd gave Infinity for "[ab]"/],
  ])('that gives %s is refused', async (_, answer, message) => {
    function odd() {
      return never(answer());
    }
    expect(await run({ scorer: odd })).toEqual({ outcome: expect.stringMatching(message), left: 0 });
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /Scorer odd gave nothing: its score\(\) must return \{ scores, details \}/],
    ['a list', four, /Scorer odd gave a list: its score/],
    ['other names', { rewards: four }, /Scorer odd gave an object: its score/],
    ['details that are none', { scores: four, details: 'x' }, /Scorer odd gave an object: its score/],
    ['a short detail', { scores: four, details: { part: [1] } }, /gave 1 values of details.part for 4/],
    [
      'a detail of texts',
      { scores: four, details: { part: ['a', 'b', 'c', 'd'] } },
      /"a" among the values of de/,
    ],
    [
      'a short list of drops',
      { scores: [1, 2, 3, Number.NaN], details: { dropped: [1] } },
      /details.dropped/,
    ],
  ])('whose scorer gives %s is refused', async (_, answer, message) => {
    const scorer: Scorer = { name: 'odd', score: async () => never(answer) };
    expect(await run({ scorer })).toEqual({ outcome: expect.stringMatching(message), left: 0 });
  });

  it('in a typed array, without details, counts as it would in a list', async () => {
    const scorer: Scorer = {
      name: 'typed',
      score: async (images) => never({ scores: Float64Array.from(await first(images)) }),
    };
    const means: (number | undefined)[] = [];
    for (const each of [scorer, first]) {
      const { outcome } = await run({ scorer: each, onEpoch: ({ reward }) => void means.push(reward) });
      expect(outcome).toMatchObject({ reason: 'finished' });
    }
    expect(means.slice(0, 2)).toEqual(means.slice(2));
  });

  it.each<[string, TrainOptions<unknown, unknown>['scorer']]>([
    [
      'that gave an answer',
      async (images) => {
        const scores = await first(images);
        images.dispose();
        return scores;
      },
    ],
    [
      'whose other part fails by it',
      async (images) => {
        images.dispose();
        return first(images);
      },
    ],
  ])('disposes of its images, %s: refused by its name', async (_, scorer) => {
    const { outcome, left } = await run({ scorer: { ...asScorer(scorer), name: 'eater' } });
    expect(outcome).toMatch(/Scorer eater disposed of the images it was given/);
    expect(left).toBe(0);
  });

  it('changes what it is given, and nobody else sees it', async () => {
    const seen: string[] = [];
    const scorer: Scorer = {
      name: 'vandal',
      async score(images, prompts, metadata) {
        seen.push(JSON.stringify([prompts, metadata]));
        const scores = await first(images);
        for (const each of metadata) (each.include as { count: number }[])[0]!.count++;
        prompts.length = 0;
        metadata.length = 0;
        return { scores, details: {} };
      },
    };
    const spy: Scorer = {
      name: 'spy',
      async score(images, prompts, metadata) {
        seen.push(JSON.stringify([prompts, metadata]));
        return { scores: await first(images), details: {} };
      },
    };
    const { outcome, left } = await run({
      scorer,
      evalRewards: { spy },
      evalPrompts: [...examples, ...examples],
    });
    expect([outcome, left]).toEqual([expect.objectContaining({ reason: 'finished' }), 0]);
    expect(seen.length).toBeGreaterThan(4);
    for (const each of seen) {
      const [prompts, metadata] = JSON.parse(each) as [string[], unknown[]];
      expect([prompts.length, metadata]).toEqual([4, Array(4).fill({ include: [{ count: 2 }] })]);
    }
  });

  it('has metadata that refer to themselves', async () => {
    const metadata: Record<string, unknown> = { made: new Date(0), rule: () => 1 };
    metadata.self = metadata;
    const given: Record<string, unknown>[] = [];
    const scorer: Scorer = {
      name: 'r',
      async score(images, _, metadata) {
        given.push(...metadata);
        return { scores: await first(images), details: {} };
      },
    };
    await run({ scorer, prompts: examples.map(({ prompt }) => ({ prompt, metadata })) });
    expect(given[0]).not.toBe(metadata);
    expect(given[0]!.self).toBe(given[0]);
    expect(given[0]).toMatchObject({ made: metadata.made, rule: metadata.rule });
  });
});

type Functions = 'velocity' | 'velocityFromFeatures' | 'decode';
/** A policy, one of whose functions gives something else of its own answer. */
const withOdd = (name: Functions, change: (own: never) => unknown): Policy => {
  const policy = flow();
  const own = policy[name] as (...args: unknown[]) => never;
  return { ...policy, [name]: (...args: unknown[]) => change(own(...args)) };
};
type Velocity = { velocity: tf.Tensor; features: tf.Tensor };
const ofVelocity = (change: (velocity: tf.Tensor) => unknown) => (own: Velocity) => ({
  ...own,
  velocity: change(own.velocity),
});

describe('a policy', () => {
  it.each<[Functions, string, (own: never) => unknown, RegExp]>([
    [
      'velocity',
      'nothing',
      () => undefined,
      /policy.velocity returned nothing: it must return \{ velocity \}/,
    ],
    [
      'velocity',
      'a tensor',
      ({ velocity }: Velocity) => velocity,
      /returned float32 \[4,2\]: it must return \{/,
    ],
    ['velocity', 'no velocity', () => ({}), /policy.velocity returned velocity nothing/],
    [
      'velocity',
      'one for all',
      ofVelocity((v) => tf.mean(v)),
      /float32 \[\]: it must be \[4,2\], the shape of x/,
    ],
    ['velocity', 'one row', ofVelocity((v) => tf.slice(v, 0, 1)), /float32 \[1,2\]: it must be \[4,2\]/],
    ['velocity', 'one value per row', ofVelocity((v) => tf.mean(v, -1, true)), /\[4,1\]: it must be \[4,2\]/],
    ['velocity', 'rows turned', ofVelocity((v) => tf.transpose(v)), /\[2,4\]: it must be \[4,2\]/],
    ['velocity', 'integers', ofVelocity((v) => tf.cast(v, 'int32')), /int32 \[4,2\]: it must be float32/],
    ['velocity', 'bits', ofVelocity((v) => tf.greater(v, 0)), /bool \[4,2\]: it must be float32/],
    ['velocity', 'an array', ofVelocity((v) => v.arraySync()), /velocity an object: it must be a tensor/],
    [
      'velocity',
      'other training rows',
      (own: Velocity) => ({ ...own, training: tf.slice(own.velocity, 0, 1) }),
      /returned training float32 \[1,2\]: it must be \[4,2\]/,
    ],
    [
      'velocity',
      'features of other rows',
      (own: Velocity) => ({ ...own, features: { some: tf.ones([3, 2]) } }),
      /returned features with float32 \[3,2\]: their first axis must be that of x, 4/,
    ],
    [
      'velocityFromFeatures',
      'one row',
      (v: tf.Tensor) => tf.slice(v, 0, 1),
      /FromFeatures returned float32 \[1,2\]/,
    ],
    ['velocityFromFeatures', 'nothing', () => undefined, /policy.velocityFromFeatures returned nothing/],
    [
      'decode',
      'grey',
      (x: tf.Tensor) => tf.mean(x, -1, true),
      /decode returned float32 \[4,1,1,1\]: .*\[4, height, width, 3\]/,
    ],
    [
      'decode',
      'one image',
      (x: tf.Tensor) => tf.slice(x, 0, 1),
      /decode returned float32 \[1,1,1,3\]: .*\[4, height, width, 3\]/,
    ],
    ['decode', 'flat images', (x: tf.Tensor) => tf.reshape(x, [4, -1]), /decode returned float32 \[4,3\]/],
    [
      'decode',
      'bytes',
      (x: tf.Tensor) => tf.cast(tf.mul(x, 255), 'int32'),
      /decode returned int32 .*: it must be float32/,
    ],
  ])('whose %s gives %s is refused', async (name, _, change, message) => {
    const { outcome, left } = await run({ policy: withOdd(name, change) });
    expect([outcome, left]).toEqual([expect.stringMatching(message), 0]);
  });

  it('whose evaluation alone meets it is refused there', async () => {
    const policy = withOdd(
      'velocity',
      ofVelocity((v) => tf.slice(v, 0, 1)),
    );
    const { outcome, left } = await run({ policy, evalPrompts: examples });
    expect([outcome, left]).toEqual([expect.stringMatching(/\[1,2\]: it must be \[2,2\]/), 0]);
  });

  it.each<['velocity' | 'decode', RegExp]>([
    ['velocity', /Scorer first gave NaN|not finite|NaN/],
    ['decode', /Scorer first gave NaN for/],
  ])('whose %s is NaN ends the run', async (name, message) => {
    const odd = (value: tf.Tensor) => tf.mul(value, Number.NaN);
    const policy = withOdd(name, name === 'decode' ? odd : ofVelocity(odd));
    const { outcome, left } = await run({ policy });
    expect([outcome, left]).toEqual([expect.stringMatching(message), 0]);
  });

  it('that is a class works as a record does', async () => {
    class Flow {
      #own = flow();
      get params() {
        return this.#own.params;
      }
      get trainable() {
        return this.#own.trainable;
      }
      get latentShape() {
        return this.#own.latentShape;
      }
      encodePrompts(prompts: string[]) {
        return this.#own.encodePrompts(prompts);
      }
      prepare(call: never) {
        return this.#own.prepare!(call);
      }
      velocity(call: never) {
        return this.#own.velocity(call);
      }
      velocityFromFeatures(call: never) {
        return this.#own.velocityFromFeatures!(call);
      }
      decode(x: tf.Tensor) {
        return this.#own.decode(x);
      }
    }
    const rewards: (number | undefined)[] = [];
    for (const policy of [new Flow() as unknown as Policy, flow()]) {
      const { outcome } = await run({ policy, onEpoch: ({ reward }) => void rewards.push(reward) });
      expect(outcome).toMatchObject({ reason: 'finished' });
    }
    expect(rewards.slice(0, 2)).toEqual(rewards.slice(2));
  });
});
