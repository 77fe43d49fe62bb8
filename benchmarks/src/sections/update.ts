/** Learning: one timestep of a batch through the head and back, and the optimizer's step. */

import type { Params } from '@flow-grpo/grpo-trainer';
import { clipByGlobalNorm, clippedPolicyLoss } from '@flow-grpo/grpo-trainer/maths';
import { gatherSteps, importanceRatio, logProbOfStep } from '@flow-grpo/sde-sampler';
import { cast, jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import { clippedAdamW, optimizerState, stepScalars } from '../model/clipped-adamw';
import { stackedSteps } from '../model/denoising';
import { policyOf, prompts, showo2Params } from '../model/policy';
import { report } from '../reporting';
import { timedCarry } from '../timing';
import type { Workload } from '../workload';

const CLIP = { clipRange: 1e-4, advClipMax: 5 };

export async function update(workload: Workload): Promise<void> {
  const { batch, rounds } = workload;
  const policy = policyOf(workload, await showo2Params(workload));
  const { params } = policy;
  // Training keeps float32 weights and computes in the workload's storage.
  const trained = Object.fromEntries(
    policy.trainable.map((name) => [name, cast(params[name]!, 'float32')] as const),
  );
  const step = tf.tidy(() => gatherSteps(stackedSteps(workload), 2));
  const t = tf.tidy(() => tf.tile(tf.reshape(step.t, [1]), [batch]));
  const [k1, k2] = random.split(random.key(11)) as [tf.Tensor, tf.Tensor];
  const x = random.normal(k1, [batch, ...policy.latentShape]);
  const next = tf.tidy(() => tf.add(x, tf.mul(0.05, random.normal(k2, x.shape))));
  const advantages = tf.linspace(-1, 1, batch);

  for (const [name, count] of [
    ['update.step', batch],
    ['update.stepOnePrompt', 1],
  ] as const) {
    const condition = policy.encodePrompts(prompts(workload, count));
    const rows = tf.tidy(
      () => tf.floorDiv(tf.range(0, batch, 1, 'int32'), tf.scalar(batch / count, 'int32')) as tf.Tensor1D,
    );
    const features = await featuresOf(policy, trained, condition, x, t, rows);
    const micro = jit(
      function microStep(
        sum: Params,
        weights: Params,
        kept: typeof features,
      ): { sum: Params; loss: tf.Tensor } {
        const names = Object.keys(weights);
        const loss = (...values: tf.Tensor[]) => {
          const now = Object.fromEntries(names.map((key, i) => [key, values[i]!]));
          const call = { trained: now, condition } as const;
          const prepared = policy.prepare!({ ...call, purpose: 'training' });
          const velocity = policy.velocityFromFeatures!({ ...call, features: kept, t, rows, prepared });
          const logProb = logProbOfStep(step, { x, velocity, next });
          const ratio = importanceRatio(
            logProb,
            tf.tidy(() => stop(logProb)),
          );
          return tf.mean(clippedPolicyLoss(ratio, advantages, CLIP)) as tf.Scalar;
        };
        const { value, grads } = tf.valueAndGrads(loss)(Object.values(weights));
        return {
          sum: Object.fromEntries(names.map((key, i) => [key, tf.add(sum[key]!, grads[i]!)])),
          loss: value,
        };
      },
      { donate: [0], name: 'microStep' },
    );
    const zeros = Object.fromEntries(
      Object.entries(trained).map(([key, value]) => [key, tf.zerosLike(value)]),
    );
    const cost = await compile(micro, zeros, trained, features);
    let gradients: Params = zeros;
    const { times, carry } = await timedCarry(
      (state: { sum: Params; loss: tf.Tensor }) => {
        state.loss.dispose();
        return micro(state.sum, trained, features);
      },
      { sum: gradients, loss: tf.scalar(0) },
      { rounds },
    );
    gradients = carry.sum;
    const norm = tf.tidy(() => clipByGlobalNorm(gradients, 1).norm.dataSync()[0]!);
    report(name, {
      ...times,
      ...cost,
      ...peakMemory(),
      imageStepsPerSecond: (1000 * batch) / times.ms,
      gradientNorm: norm,
      finite: Number.isFinite(norm),
    });
    tf.dispose([gradients, carry.loss, rows]);
    tf.dispose(features as tf.TensorContainer);
    tf.dispose(condition as unknown as tf.TensorContainer);
  }
  await optimizer(workload, trained);
}

const stop = (value: tf.Tensor): tf.Tensor =>
  tf.customGrad(() => ({ value: tf.clone(value), gradFunc: () => [] }))();

/** What the rollout would have kept at these latents. */
async function featuresOf(
  policy: ReturnType<typeof policyOf>,
  trained: Params,
  condition: Parameters<typeof policy.velocity>[0]['condition'],
  x: tf.Tensor,
  t: tf.Tensor,
  rows: tf.Tensor1D,
) {
  const run = jit((weights: Params, at: tf.Tensor) => {
    const call = { trained: weights, condition, purpose: 'sampling' } as const;
    const prepared = policy.prepare!(call);
    return policy.velocity({ ...call, x: at, t, rows, prepared }).features!;
  });
  return run(trained, x);
}

/** Clipping and AdamW over all trained weights, state and gradients donated. */
async function optimizer({ rounds }: Workload, trained: Params): Promise<void> {
  const gradientsOf = jit((weights: Params) =>
    Object.fromEntries(Object.entries(weights).map(([name, value]) => [name, tf.mul(value, 1e-3)])),
  );
  const gradients = gradientsOf(trained);
  const scalars = stepScalars(5e-6, 1);
  const step = jit(clippedAdamW, { donate: [0], name: 'optimizerStep' });
  const start = optimizerState(trained);
  const cost = await compile(step, start, gradients, scalars);
  const { times } = await timedCarry(
    ({ state }) => step(state, gradients, scalars),
    { state: start, norm: tf.scalar(0) as tf.Tensor },
    { rounds },
  );
  const parameters = Object.values(trained).reduce((sum, { size }) => sum + size, 0);
  // Read: weights, gradients (twice, once for the norm) and two moments; written: weights and moments.
  report('update.optimizer', {
    ...times,
    ...cost,
    parameters,
    gigabytesPerSecond: (32 * parameters) / times.ms / 1e6,
  });
}
