/** The gradients of an update: passes over its images and points, what they share computed once. */
import { tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { PassRows } from '../algorithms/pass';
import type { InParts } from '../event-loop';
import type { Placement } from '../placement';
import type { Params, Policy } from '../policy';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { EpochSamples } from '../rollout/samples';
import type { FlopCounter } from '../utilisation';
import type { Measured } from './changes';
import { gradientPass, measurePass, zeroGradients } from './gradient-pass';
import type { PassWeights } from './pass-of';
import type { PassToCome } from './passes';
import { type Prepared, prepareGradients, preparePass, zeroPrepared } from './preparation';

/** What the passes of an update compute from. */
export interface UpdateInputs<C> extends PassWeights {
  readonly condition: C;
  readonly samples: EpochSamples;
}

export interface GradientSum {
  /** By name, float32, laid out like the weights; where the placement is per device, one sum per device, [devices, …]. */
  readonly gradients: Params;
  /** What each gradient pass gave, and which points of its images it took. */
  readonly values: readonly PassValues[];
}

export interface PassValues {
  /** As `gradientPass` says. */
  readonly row: tf.Tensor;
  readonly steps: readonly number[];
}

/**
 * The functions that go over the images of an update, a pass in each part; each pass makes its rows when its turn comes. When
 * one fails or is ended, nothing of what it made is left. Executables are compiled on first use.
 */
export function gradientSum<C, P>(
  policy: Policy<C, P>,
  plan: EpochPlan,
  placement: Placement,
  flops: FlopCounter,
) {
  const { algorithm } = plan;
  const reachedWeights = new Set<string>();
  const programsOn = (place: Placement) => {
    const pass = gradientPass(policy, algorithm, place, reachedWeights);
    const measured = measurePass(policy, algorithm, place);
    // Counted apart: they are two programs.
    return {
      ...{ passAlone: flops.count(pass), passPrepared: flops.count(pass) },
      ...{ measureAlone: flops.count(measured), measurePrepared: flops.count(measured) },
    };
  };
  const anywhere = programsOn(placement);
  const held = placement.inPlace ? programsOn(placement.inPlace) : anywhere;
  const programsOf = ({ inPlace }: PassToCome) => (inPlace ? held : anywhere);
  const zeros = zeroGradients(placement);
  const groups = stepGroups(plan);
  const { prepare } = policy;
  const preparing = prepare && {
    once: flops.count(preparePass(prepare, placement)),
    zeros: zeroPrepared(placement),
    gradients: flops.count(prepareGradients(prepare, reachedWeights, placement)),
  };
  const everyPoint = Array.from({ length: algorithm.pointsPerImage }, (_, i) => i);

  /** Calls `f` with the rows of a group of points. */
  const withSteps = <R>(
    rows: PassRows,
    group: readonly number[] | undefined,
    f: (rows: PassRows) => R,
  ): R => {
    if (!group) return f(rows);
    const steps = tf.tensor1d([...group], 'int32');
    const replicated = placement.replicate(steps);
    try {
      return f({ ...rows, steps: replicated });
    } finally {
      tf.dispose([steps, replicated]);
    }
  };

  /**
   * The gradients of all passes.
   *
   * @param changes what has changed since the epoch's first update, for each pass and group of points
   */
  function* sum(
    inputs: UpdateInputs<C>,
    passes: readonly PassToCome[],
    changes?: readonly Measured[],
  ): InParts<GradientSum> {
    const { trained, copies, condition, samples } = inputs;
    // A pass that is alone prepares by itself: the forward half would be computed twice.
    const shared = passes.length * groups.length > 1 ? preparing : undefined;
    let prepared: Prepared | undefined;
    let gradients: Params = {};
    let upstream: tf.Tensor[] | undefined;
    let rows: PassRows | undefined;
    const values: PassValues[] = [];
    try {
      prepared = shared && {
        trained: shared.once(trained, condition, 'training'),
        ...Object.fromEntries(
          Object.entries(copies).map(([name, weights]) => [
            name,
            shared.once(weights, condition, algorithm.copies?.[name]?.purpose ?? 'training'),
          ]),
        ),
      };
      gradients = zeros(trained);
      upstream = prepared && shared!.zeros(prepared.trained);
      for (const [p, each] of passes.entries()) {
        rows = each.rows();
        const { passAlone, passPrepared } = programsOf(each);
        for (const [g, group] of groups.entries()) {
          const change = changes?.[p]?.[g];
          const given = change ? { ...rows, changes: change } : rows;
          const result = withSteps(given, group, (some) =>
            prepared
              ? passPrepared(gradients, trained, copies, condition, samples, some, prepared, upstream)
              : passAlone(gradients, trained, copies, condition, samples, some),
          );
          tf.dispose(gradients);
          tf.dispose(upstream ?? []);
          gradients = result.gradients;
          if (prepared) upstream = result.prepared;
          values.push({ row: result.values, steps: group ?? everyPoint });
          yield;
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
      tree.dispose([gradients, upstream, rows, values.map(({ row }) => row)]);
      tree.dispose(prepared, condition);
      throw error;
    }
  }

  /** What the algorithm measures of these weights, for each pass. */
  function* measure(inputs: UpdateInputs<C>, passes: readonly PassToCome[]): InParts<Measured[]> {
    const { trained, condition, samples } = inputs;
    const shared = passes.length * groups.length > 1 ? preparing : undefined;
    const results: Measured[number][][] = [];
    let prepared: Prepared | undefined;
    let rows: PassRows | undefined;
    try {
      prepared = shared && { trained: shared.once(trained, condition, 'training') };
      for (const each of passes) {
        const own = each.rows();
        rows = own;
        const { measureAlone, measurePrepared } = programsOf(each);
        const measured: Measured[number][] = [];
        results.push(measured);
        for (const group of groups) {
          measured.push(
            withSteps(own, group, (some) =>
              prepared
                ? measurePrepared(trained, condition, samples, some, prepared)
                : measureAlone(trained, condition, samples, some),
            ),
          );
          yield;
        }
        tree.dispose(rows);
      }
      return results;
    } catch (error) {
      tree.dispose([results, rows]);
      throw error;
    } finally {
      tree.dispose(prepared, condition);
    }
  }

  return { sum, measure };
}

/** The points of an image, in parts of as many as a pass takes; one absent part where it takes all of them. */
function stepGroups({ algorithm, stepsPerPass }: EpochPlan): (number[] | undefined)[] {
  const { pointsPerImage } = algorithm;
  if (stepsPerPass === pointsPerImage) return [undefined];
  return Array.from({ length: pointsPerImage / stepsPerPass }, (_, part) =>
    Array.from({ length: stepsPerPass }, (_, i) => part * stepsPerPass + i),
  );
}
