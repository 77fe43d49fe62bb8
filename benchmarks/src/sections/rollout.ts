/** Sampling: text once a prompt, one denoising step, a whole rollout as one program. */

import { gatherSteps } from '@flow-grpo/sde-sampler';
import { showo2Velocity } from '@flow-grpo/showo2-model';
import { cast, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import { denoise, rollOut, sdeStep, stackedSteps } from '../model/denoising';
import { policyOf, prompts, showo2Params } from '../model/policy';
import { report } from '../reporting';
import { timed, timedMany } from '../timing';
import type { Workload } from '../workload';

export async function rollout(workload: Workload): Promise<void> {
  const { batch, steps, rounds, showo2, guidanceScale } = workload;
  const started = performance.now();
  const policy = policyOf(workload, await showo2Params(workload));
  const { params } = policy;
  const trained = Object.fromEntries(policy.trainable.map((name) => [name, params[name]!]));
  report('rollout.weights', {
    seconds: (performance.now() - started) / 1000,
    parameters: Object.values(params).reduce((sum, { size }) => sum + size, 0),
  });

  const texts = prompts(workload, batch);
  const first = performance.now();
  const condition = policy.encodePrompts(texts);
  const encoding = await timed(() => policy.encodePrompts(texts) as never, { warm: 1, rounds: 3 });
  report('rollout.prefillTrunk', { ...encoding, firstSeconds: (performance.now() - first) / 1000 });

  const prepare = jit(
    (weights: typeof trained, given: typeof condition) =>
      policy.prepare!({ trained: weights, condition: given, purpose: 'sampling' }),
    { name: 'prepare' },
  );
  const text = await compile(prepare, trained, condition);
  const prepared = prepare(trained, condition);
  report('rollout.prefillHead', {
    ...(await timed(() => prepare(trained, condition) as never, { rounds })),
    ...text,
  });

  const rows = tf.range(0, batch, 1, 'int32') as tf.Tensor1D;
  const schedule = stackedSteps(workload);
  const [k1, k2] = random.split(random.key(7)) as [tf.Tensor, tf.Tensor];
  const x = random.normal(k1, [batch, ...policy.latentShape]);
  const one = tf.tidy(() => gatherSteps(schedule, 1));

  const step = jit(
    (
      weights: typeof trained,
      given: typeof condition,
      ready: typeof prepared,
      at: tf.Tensor,
      key: tf.Tensor,
    ) => denoise(policy, weights, given, ready, rows, at, one, key),
    { name: 'rolloutStep' },
  );
  const stepCost = await compile(step, trained, condition, prepared, x, k2);
  const times = await timed(() => step(trained, condition, prepared, x, k2) as never, { rounds });
  report('rollout.step', {
    ...times,
    ...stepCost,
    ...peakMemory(),
    imagesPerSecond: rate(batch, steps * times.ms),
  });

  // The same velocity with the rows of both guidance branches in one batch.
  const joint = jit(
    (weights: typeof params, ready: typeof prepared, at: tf.Tensor, key: tf.Tensor) => {
      const t = tf.tile(tf.reshape(one.t, [1]), [batch]);
      const result = showo2Velocity(weights, showo2, at, t, ready, { guidanceScale });
      return { ...sdeStep(one, at, cast(result.velocity, 'float32'), key), features: result.features };
    },
    { name: 'jointStep' },
  );
  const jointCost = await compile(joint, params, prepared, x, k2);
  const jointTimes = await timed(() => joint(params, prepared, x, k2) as never, { rounds });
  report('rollout.stepJoint', { ...jointTimes, ...jointCost, ...peakMemory() });

  const sampler = jit(
    (at: tf.Tensor, velocity: tf.Tensor, key: tf.Tensor) => sdeStep(one, at, velocity, key),
    {
      name: 'sdeStep',
    },
  );
  const alone = await timedMany(() => sampler(x, x, k2), 20, { rounds });
  report('rollout.sampler', { ...alone, percentOfStep: (100 * alone.ms) / times.ms });

  const whole = jit(
    (weights: typeof trained, given: typeof condition, key: tf.Tensor) =>
      rollOut(policy, weights, given, rows, schedule, key),
    { name: 'rollout' },
  );
  const wholeCost = await compile(whole, trained, condition, k2);
  const all = await timed(() => whole(trained, condition, k2) as never, {
    warm: 1,
    rounds: Math.min(rounds, 5),
  });
  const result = whole(trained, condition, k2);
  const finite = tf.tidy(() => tf.all(tf.isFinite(result.latents)).dataSync()[0] === 1);
  report('rollout.whole', {
    ...all,
    ...wholeCost,
    ...peakMemory(),
    steps,
    msPerStep: all.ms / steps,
    imagesPerSecond: rate(batch, all.ms),
    finite,
  });
}

const rate = (images: number, ms: number) => (1000 * images) / ms;
