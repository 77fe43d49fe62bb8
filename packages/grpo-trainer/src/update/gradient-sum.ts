/** The gradients of an update: passes over its images and steps, what they share computed once. */
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from '../devices';
import type { Params, Policy, Tensors } from '../policy';
import type { EpochPlan } from '../rollout/epoch-plan';
import { flattenTensors } from '../rollout/rollout';
import type { FlopCounter } from '../utilisation';
import { gradientPass, zeroGradients } from './executables';
import type { EpochSamples, Objective, PassRows } from './objectives';
import { prepareGradients, preparePass, zeroPrepared } from './preparation';

/** What the passes of an update compute from. */
export interface UpdateInputs<C> {
  readonly trained: Params;
  readonly reference: Params;
  readonly condition: C;
  readonly samples: EpochSamples;
}

export interface GradientSum {
  /** By name, float32, laid out like the weights. */
  readonly gradients: Params;
  /** [loss, ...objective.metrics] of each pass. */
  readonly values: readonly tf.Tensor[];
}

/**
 * The function that sums the gradients of all passes of an update, each given by the images it takes; it disposes of
 * these rows. Its executables are compiled on first use.
 */
export function gradientSum<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  objective: Objective<C>,
  placement: Placement,
  flops: FlopCounter,
) {
  const touched = new Set<string>();
  const pass = gradientPass(objective, placement, touched);
  // Counted apart: they are two programs.
  const [passAlone, passPrepared] = [flops.count(pass), flops.count(pass)];
  const zeros = zeroGradients();
  const groups = stepGroups(plan);
  const { prepare } = policy;
  const preparing = prepare && {
    once: flops.count(preparePass(prepare, placement)),
    zeros: zeroPrepared(placement),
    gradients: flops.count(prepareGradients(prepare, touched)),
  };

  return (inputs: UpdateInputs<C>, parts: readonly (() => PassRows)[]): GradientSum => {
    const { trained, reference, condition, samples } = inputs;
    // A pass that is alone prepares by itself: the forward half would be computed twice.
    const shared = parts.length * groups.length > 1 ? preparing : undefined;
    const prepared = shared && {
      trained: shared.once(trained, condition),
      ...(plan.needsReference && { reference: shared.once(reference, condition) }),
    };
    let gradients = zeros(trained);
    let upstream = prepared && shared.zeros(prepared.trained);
    const values: tf.Tensor[] = [];
    for (const part of parts) {
      const rows = part();
      for (const group of groups) {
        const steps = group && tf.tensor1d(group, 'int32');
        const some = steps ? { ...rows, steps: placement.everywhere(steps) } : rows;
        const result = prepared
          ? passPrepared(gradients, trained, reference, condition, samples, some, prepared, upstream)
          : passAlone(gradients, trained, reference, condition, samples, some);
        tf.dispose(gradients);
        tf.dispose(upstream ?? []);
        if (steps) tf.dispose([steps, some.steps!]);
        gradients = result.gradients;
        if (prepared) upstream = result.prepared;
        values.push(result.values);
      }
      tf.dispose(flattenTensors(rows));
    }
    if (prepared) {
      const whole = shared.gradients(gradients, trained, condition, upstream!);
      tf.dispose([gradients, upstream!]);
      disposeBut(condition, [prepared]);
      gradients = whole;
    }
    return { gradients, values };
  };
}

/** Disposes of the tensors of a tree that are not part of `kept` too: where nothing is compiled, results may be arguments. */
export function disposeBut(kept: unknown, tree: Tensors | readonly unknown[]): void {
  const stay = new Set(flattenTensors(kept));
  tf.dispose(flattenTensors(tree).filter((tensor) => !stay.has(tensor)));
}

/** The steps that train, in parts of as many as a pass takes; one absent part where it takes all of them. */
function stepGroups({ trainedSteps, stepsPerPass, advantageKind }: EpochPlan): (number[] | undefined)[] {
  if (advantageKind !== 'grpo' || stepsPerPass === trainedSteps) return [undefined];
  return Array.from({ length: trainedSteps / stepsPerPass }, (_, part) =>
    Array.from({ length: stepsPerPass }, (_, i) => part * stepsPerPass + i),
  );
}
