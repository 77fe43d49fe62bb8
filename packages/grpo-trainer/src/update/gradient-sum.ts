/** The gradients of an update: passes over its images and points, what they share computed once. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { PassRows } from '../algorithms/pass';
import type { Placement } from '../devices';
import type { Params, Policy } from '../policy';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { EpochSamples } from '../rollout/samples';
import type { FlopCounter } from '../utilisation';
import { gradientPass, type PassWeights, zeroGradients } from './gradient-pass';
import { type Prepared, prepareGradients, preparePass, zeroPrepared } from './preparation';

/** What the passes of an update compute from. */
export interface UpdateInputs<C> extends PassWeights {
  readonly condition: C;
  readonly samples: EpochSamples;
}

export interface GradientSum {
  /** By name, float32, laid out like the weights. */
  readonly gradients: Params;
  /** [loss, ...metrics] of each pass. */
  readonly values: readonly tf.Tensor[];
}

/**
 * The function that sums the gradients of all passes of an update, each given by the images it takes; it disposes of
 * these rows, and when it fails of everything it made. Its executables are compiled on first use.
 */
export function gradientSum<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  placement: Placement,
  flops: FlopCounter,
) {
  const { algorithm } = plan;
  const reachedWeights = new Set<string>();
  const pass = gradientPass(policy, algorithm, placement, reachedWeights);
  // Counted apart: they are two programs.
  const [passAlone, passPrepared] = [flops.count(pass), flops.count(pass)];
  const zeros = zeroGradients();
  const groups = stepGroups(plan);
  const { prepare } = policy;
  const preparing = prepare && {
    once: flops.count(preparePass(prepare, placement)),
    zeros: zeroPrepared(placement),
    gradients: flops.count(prepareGradients(prepare, reachedWeights)),
  };

  return (inputs: UpdateInputs<C>, parts: readonly (() => PassRows)[]): GradientSum => {
    const { trained, copies, condition, samples } = inputs;
    // A pass that is alone prepares by itself: the forward half would be computed twice.
    const shared = parts.length * groups.length > 1 ? preparing : undefined;
    const prepareAll = (): Prepared | undefined =>
      shared && {
        trained: shared.once(trained, condition, 'training'),
        ...Object.fromEntries(
          Object.entries(copies).map(([name, weights]) => [
            name,
            shared.once(weights, condition, algorithm.copies?.[name]?.purpose ?? 'training'),
          ]),
        ),
      };
    let prepared: Prepared | undefined;
    let gradients: Params = {};
    let upstream: tf.Tensor[] | undefined;
    let rows: PassRows | undefined;
    const values: tf.Tensor[] = [];
    try {
      prepared = prepareAll();
      gradients = zeros(trained);
      upstream = prepared && shared!.zeros(prepared.trained);
      for (const part of parts) {
        rows = part();
        for (const group of groups) {
          const steps = group && tf.tensor1d(group, 'int32');
          const some = steps ? { ...rows, steps: placement.replicate(steps) } : rows;
          try {
            const result = prepared
              ? passPrepared(gradients, trained, copies, condition, samples, some, prepared, upstream)
              : passAlone(gradients, trained, copies, condition, samples, some);
            tf.dispose(gradients);
            tf.dispose(upstream ?? []);
            gradients = result.gradients;
            if (prepared) upstream = result.prepared;
            values.push(result.values);
          } finally {
            if (steps) tf.dispose([steps, some.steps!]);
          }
        }
        tree.dispose(rows);
      }
      if (prepared) {
        const whole = shared!.gradients(gradients, trained, condition, upstream!);
        tf.dispose([gradients, upstream!]);
        tree.dispose(prepared, condition);
        gradients = whole;
      }
      return { gradients, values };
    } catch (error) {
      tree.dispose([gradients, upstream, rows, values]);
      tree.dispose(prepared, condition);
      throw error;
    }
  };
}

/** The points of an image, in parts of as many as a pass takes; one absent part where it takes all of them. */
function stepGroups({ algorithm, stepsPerPass }: EpochPlan): (number[] | undefined)[] {
  const { pointsPerImage } = algorithm;
  if (stepsPerPass === pointsPerImage) return [undefined];
  return Array.from({ length: pointsPerImage / stepsPerPass }, (_, part) =>
    Array.from({ length: stepsPerPass }, (_, i) => part * stepsPerPass + i),
  );
}
