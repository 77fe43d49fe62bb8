/** The pass that an algorithm's loss is given: rows, their samples, and velocities at points of theirs. */
import { stopGradient } from '@flow-grpo/nn';
import * as tf from '@tensorflow/tfjs-core';
import type { ConfiguredAlgorithm } from '../algorithms/algorithm';
import type { Pass, PassRows } from '../algorithms/pass';
import { detach } from '../losses/rows';
import type { Placement } from '../placement';
import type { Params, Policy, Tensors } from '../policy';
import type { EpochSamples } from '../rollout/samples';
import type { Prepared } from './preparation';

/** Weights that velocities can be asked of. */
export interface PassWeights {
  readonly trained: Params;
  readonly copies: Readonly<Record<string, Params>>;
}

/** The pass that an algorithm's loss is given. What was prepared is used; without it it is prepared here. */
export function passOf<C, P>(
  policy: Policy<C, P>,
  algorithm: Pick<ConfiguredAlgorithm, 'copies' | 'units'>,
  placement: Placement,
  { trained, copies }: PassWeights,
  condition: C,
  samples: EpochSamples,
  rows: PassRows,
  ready?: Prepared,
): Pass {
  // What a frozen trunk makes of points is the same whatever the weights behind it: it runs once for all of them.
  const kept = new Map<tf.Tensor, Tensors>();
  const velocity: Pass['velocity'] = (name, points) => {
    const isTrained = name === 'trained';
    const weights = isTrained ? trained : copies[name];
    if (!weights) throw new Error(`the algorithm has no copy of the weights called ${name}`);
    const purpose = (isTrained ? undefined : algorithm.copies?.[name]?.purpose) ?? 'training';
    const { x, t, prompts } = points;
    const features = points.features ?? kept.get(x);
    const compute = () => {
      const prepared = (ready?.[name] ?? policy.prepare?.({ trained: weights, condition, purpose })) as P;
      const call = { trained: weights, t, condition, rows: prompts, prepared };
      if (policy.velocityFromFeatures && features && purpose === 'training') {
        return policy.velocityFromFeatures({ ...call, features });
      }
      const result = policy.velocity({ ...call, x, purpose });
      // A copy's are made where gradients stop, and gone after it.
      if (isTrained && result.features) kept.set(x, result.features);
      return result.velocity;
    };
    return isTrained ? compute() : stopGradient(compute);
  };
  const before: Pass['before'] = (name, value) => {
    const change = rows.changes?.[name];
    return change ? tf.sub(detach(value), change) : detach(value);
  };
  return { ...rows, samples, placement, unitSize: algorithm.units.size, velocity, before };
}

/** Arguments of a pass that are whole on every device, and those whose rows are split. */
export interface PassParts<C> {
  readonly whole: {
    readonly trained: Params;
    readonly copies: Readonly<Record<string, Params>>;
    readonly condition: C;
    readonly samples: Pick<EpochSamples, 'promptOf' | 'steps'>;
    readonly rows: Pick<PassRows, 'steps' | 'onPolicy' | 'key'>;
    readonly prepared: Prepared | undefined;
  };
  readonly split: {
    readonly samples: Pick<EpochSamples, 'records' | 'latents'>;
    readonly rows: Omit<PassRows, 'steps' | 'onPolicy' | 'key'>;
  };
}

export function splitArguments<C>(
  { trained, copies }: PassWeights,
  condition: C,
  { promptOf, steps: coefficients, ...records }: EpochSamples,
  { steps, onPolicy, key, ...rows }: PassRows,
  prepared: Prepared | undefined,
): PassParts<C> {
  return {
    whole: {
      ...{ trained, copies, condition, prepared },
      samples: { promptOf, ...(coefficients && { steps: coefficients }) },
      rows: { onPolicy, key, ...(steps && { steps }) },
    },
    split: { samples: records, rows },
  };
}

/** The pass of one device's rows. */
export function ownPass<C, P>(
  policy: Policy<C, P>,
  algorithm: Pick<ConfiguredAlgorithm, 'copies' | 'units'>,
  own: Placement,
  { trained, copies, condition, prepared, ...whole }: PassParts<C>['whole'],
  split: PassParts<C>['split'],
): Pass {
  const samples = { ...whole.samples, ...split.samples };
  const rows = { ...whole.rows, ...split.rows };
  return passOf(policy, algorithm, own, { trained, copies }, condition, samples, rows, prepared);
}
