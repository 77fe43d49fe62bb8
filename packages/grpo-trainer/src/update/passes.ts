/** The gradient passes of an epoch's updates: which images each takes, and its rows on the devices. */
import { random, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { PassRows } from '../algorithms/pass';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../placement';
import { randomAt } from '../random';
import type { UpdateBatch } from '../rollout/create-rollout';
import type { EpochPlan } from '../rollout/epoch-plan';
import { planUpdates } from './plan';

/** A gradient pass to come. */
export interface PassToCome {
  /** Makes its rows; the caller disposes of them. */
  rows(): PassRows;
  /** Whether each device's rows are images that it holds. */
  readonly inPlace: boolean;
}

export interface EpochPasses {
  /** The images that train, in units that stay together. */
  readonly units: readonly (readonly number[])[];
  /** For each update its passes. */
  readonly updates: readonly (readonly PassToCome[])[];
}

/** Keys of gradient passes lie beyond those of rollout steps in the epoch's stream. */
const PASS_STREAM = 0x10000;

/** The passes that go over an epoch's images, shuffled by the seed and the epoch's number. */
export function epochPasses(
  { algorithm, rowsPerPass, trainsInPlace }: EpochPlan,
  { training, seed }: GrpoConfig,
  placement: Placement,
  { dropped, promptIndex, rowOf }: Pick<UpdateBatch<unknown>, 'dropped' | 'promptIndex' | 'rowOf'>,
  advantages: Float64Array,
  { epoch, key }: { readonly epoch: number; readonly key: tf.Tensor },
): EpochPasses {
  const units = algorithm.units.select({ advantages, dropped, promptIndex });
  const { devices, perDevice } = placement;
  const held = promptIndex.length / devices;
  const planned = Array.from({ length: training.innerEpochs }, (_, inner) =>
    planUpdates(units, randomAt(seed, 2, epoch, inner), {
      updates: training.updatesPerEpoch,
      rows: rowsPerPass,
      devices: perDevice || trainsInPlace ? devices : 1,
      ...(trainsInPlace && { deviceOf: (image: number) => Math.floor(rowOf(image) / held) }),
      dropped,
    }),
  ).flat();
  let passes = 0;
  const updates = planned.map((parts, update) =>
    parts.map(({ samples, weights, inPlace }): PassToCome => {
      const number = passes++;
      const rows = () =>
        placedRows(
          {
            rows: tf.tensor1d(samples.map(rowOf), 'int32'),
            weights: tf.tensor1d(weights as number[]),
            advantages: tf.tensor1d(samples.map((i) => advantages[i]!)),
          },
          placement,
          { onPolicy: update === 0, key, stream: PASS_STREAM + number },
        );
      return { rows, inPlace };
    }),
  );
  return { units, updates };
}

/**
 * A pass's rows where the pass computes; those given are gone.
 *
 * @param stream which random numbers of the key the pass draws
 */
export function placedRows(
  given: Pick<PassRows, 'rows' | 'weights' | 'advantages'>,
  placement: Placement,
  { onPolicy, key, stream }: { onPolicy: boolean; key: tf.Tensor; stream: number },
): PassRows {
  const rows: PassRows = {
    rows: placement.replicate(given.rows),
    ...placement.shardBatch({ weights: given.weights, advantages: given.advantages }),
    onPolicy: tf.scalar(onPolicy ? 1 : 0),
    key: random.foldIn(key, stream),
  };
  tree.dispose(given, rows);
  return rows;
}
