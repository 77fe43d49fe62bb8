/** Whether the trainer waits for a slow scorer on the host: epochs of the recipe without one, and with two kinds of them. */
import { setTimeout as pause } from 'node:timers/promises';
import type * as tf from '@tensorflow/tfjs-core';
import { imagesOf, withRecipe } from '../model/recipe';
import { report } from '../reporting';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. */
const EPOCHS = 3;
const BATCHES = 6;

/** Unequal, so that there is something to learn. */
const places = (images: tf.Tensor4D): number[] => Array.from({ length: images.shape[0] }, (_, i) => i);

const SCORERS: Readonly<Record<string, (seconds: number) => (images: tf.Tensor4D) => Promise<number[]>>> = {
  none: () => async (images) => places(images),
  /** As one that asks a server. */
  waiting: (seconds) => async (images) => {
    await pause(1000 * seconds);
    return places(images);
  },
  /** As one that reads the images and computes on the thread that also dispatches. */
  computing: (seconds) => async (images) => {
    await images.data();
    const until = performance.now() + 1000 * seconds;
    while (performance.now() < until);
    return places(images);
  },
};

export async function overlap(given: Workload): Promise<void> {
  const workload = { ...given, batchesPerEpoch: BATCHES };
  const seconds = given.scorerSeconds;
  await withRecipe(workload, async (run) => {
    for (const [name, scorer] of Object.entries(SCORERS)) {
      const warm = (await run({ epochs: EPOCHS, scorer: scorer(seconds) })).slice(1);
      const median = (metric: string) => summary(warm.map((metrics) => metrics[metric]!)).ms;
      report(`overlap.${name}`, {
        ...summary(warm.map((metrics) => 1000 * metrics.seconds!)),
        images: imagesOf(workload),
        scorerSeconds: name === 'none' ? 0 : BATCHES * seconds,
        secondsRollout: median('secondsRollout'),
        secondsReward: median('secondsReward'),
        secondsUpdate: median('secondsUpdate'),
      });
    }
  });
}
