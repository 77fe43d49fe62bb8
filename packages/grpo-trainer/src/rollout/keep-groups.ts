/** One epoch's batch made of the prompts of several rollouts: for dynamic sampling, which leaves some out. */
import { jit, tree } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { Placement } from '../placement';
import type { Policy } from '../policy';
import type { EpochBatch } from './create-rollout';
import type { EpochSamples } from './samples';

/** A prompt's images: those of `group` (its place among the prompts) in a rollout. */
export interface KeptGroup {
  readonly round: number;
  readonly group: number;
}

/**
 * The function that puts together a batch of as many groups as each rollout has; the rollouts are gone after it, or are the
 * caller's to dispose of when it throws.
 *
 * Every image keeps its noise, records and rewards; the prompts that are left are encoded again.
 */
export function createGroupKeeper<C, P>(policy: Policy<C, P>, placement: Placement) {
  const takeRows = jit(
    (samples: Pick<EpochSamples, 'latents' | 'records'>, rows: tf.Tensor1D) => placement.take(samples, rows),
    { name: 'keepGroups' },
  );

  /** These rows of all rounds, whose own samples are gone. */
  const takenRows = (rounds: readonly EpochBatch<C>[], rows: Int32Array) => {
    const whole = placement.join(
      rounds.map(({ latents, records }) => ({ latents, ...(records && { records }) })),
    );
    const host = tf.tensor1d(rows, 'int32');
    const places = placement.replicate(host);
    try {
      return takeRows(whole, places);
    } finally {
      tree.dispose([whole, host, places]);
    }
  };

  return (rounds: readonly EpochBatch<C>[], kept: readonly KeptGroup[]): EpochBatch<C> => {
    const first = rounds[0]!;
    const count = first.rewards.length;
    const size = count / kept.length;
    const images = kept.flatMap(({ round, group }) =>
      Array.from({ length: size }, (_, i) => ({ round, image: group * size + i })),
    );
    const rows = new Int32Array(count);
    for (const [i, { round, image }] of images.entries()) {
      const row = rounds[round]!.rowOf(image);
      rows[first.rowOf(i)] = placement.rowOf(round * count + row, count, rounds.length * count);
    }
    const of = <T>(values: (batch: EpochBatch<C>) => readonly T[]): T[] =>
      images.map(({ round, image }) => values(rounds[round]!)[image]!);
    const prompts = of((batch) => batch.prompts);
    const encoded = tree.tidy(() => policy.encodePrompts(prompts.filter((_, i) => i % size === 0)));
    const condition = placement.replicate(encoded);
    if (condition !== encoded) tree.dispose(encoded);
    let taken: Pick<EpochSamples, 'latents' | 'records'>;
    try {
      taken = takenRows(rounds, rows);
    } catch (error) {
      tree.dispose(condition);
      throw error;
    }
    tree.dispose(rounds.map((batch) => batch.condition));
    tree.dispose(rounds.slice(1).map(({ promptOf, steps }) => [promptOf, steps]));
    const statistics = rounds.flatMap((batch) => batch.statistics);
    const { promptOf, steps } = first;
    const own: EpochSamples = { ...taken, promptOf, ...(steps && { steps }) };
    return {
      ...own,
      condition,
      rowOf: first.rowOf,
      prompts,
      promptIndex: first.promptIndex,
      rewards: of((batch) => batch.rewards),
      dropped: of((batch) => batch.dropped),
      details: Object.fromEntries(
        Object.keys(first.details).map((name) => [
          name,
          of((batch) => batch.details[name] ?? batch.rewards.map(() => Number.NaN)),
        ]),
      ),
      ...(first.weights && { weights: first.weights }),
      statistics,
      dispose: () => tree.dispose([own, condition, statistics]),
    };
  };
}

/**
 * The groups to train on: those that say something, in the order in which they were drawn, then the first others.
 *
 * @param telling whether each group does, round by round
 * @param count wanted
 */
export function groupsToKeep(telling: readonly (readonly boolean[])[], count: number): KeptGroup[] {
  const all = telling.flatMap((groups, round) => groups.map((tells, group) => ({ round, group, tells })));
  const chosen = [...all.filter(({ tells }) => tells), ...all.filter(({ tells }) => !tells)];
  return chosen.slice(0, count).map(({ round, group }) => ({ round, group }));
}
