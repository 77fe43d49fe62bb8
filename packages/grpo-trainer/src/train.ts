/** The loop: sample, score, compare, update, average, evaluate, save. */
import type { AnyAlgorithm } from './algorithms/algorithm';
import { ConfigError } from './config/config-error';
import type { GrpoConfig } from './config/schema';
import { startRun } from './run/training-run';
import type { TrainOptions, TrainResult } from './train-options';

/**
 * Trains a policy with Flow-GRPO or another algorithm. Every random number is a function of the seed and the
 * epoch, so a run that was interrupted and resumed gives the same bits as one that was not.
 *
 * Only the checkpoints in `store` and the returned weights outlive the call. Logs, sample grids and a report are up to the
 * callbacks: `runTraining` of the package flow-grpo writes them.
 *
 * On an error the run saves a checkpoint of what it reached and ends; only the policy's own tensors are left then.
 *
 * @throws {ConfigError} when options do not fit together, or memory does not suffice; CheckpointStateError when another
 *   run has the store, and when a checkpoint cannot be used or written; what the scorer throws; an Error when it dropped all
 *   images of an epoch, and when the gradient is 0 although images have advantages.
 */
export async function train<C, P, A extends AnyAlgorithm = AnyAlgorithm>(
  options: TrainOptions<C, P, A>,
): Promise<TrainResult> {
  if (options.resume && !options.store) {
    throw new ConfigError(
      "resume needs a store to resume from: give store: checkpointFolder('runs/mine/checkpoints') of @flow-grpo/grpo-trainer/node",
    );
  }
  const release = await options.store?.acquire(); // no other run writes there meanwhile
  try {
    return await loop(options);
  } finally {
    await release?.();
  }
}

async function loop<C, P, A extends AnyAlgorithm>(options: TrainOptions<C, P, A>): Promise<TrainResult> {
  const run = await startRun(options);
  const { config, algorithm } = run;
  try {
    if (run.epoch === 0) await run.evaluate();
    if (rollsBack(config)) await run.save(); // something to roll back to
    while (run.epoch < config.epochs) {
      const epoch = run.beginEpoch();
      try {
        const images = await run.sample(epoch); // and score
        const advantages = algorithm.advantages(images);
        const result = await run.update(epoch, images, advantages); // and average
        const metrics = await run.report(epoch, images, advantages, result);
        const verdict = run.check(metrics, result);
        if (verdict.problem) {
          if (await run.rollBack(verdict)) continue;
          return run.finish(verdict.reason, await run.problemOf(verdict));
        }
        run.advance(epoch, result, verdict);
      } finally {
        epoch.dispose();
      }
      const last = run.epoch === config.epochs;
      await run.agree(); // processes end at the same epoch
      if (last || run.epoch % config.evalEvery === 0) await run.evaluate();
      if (last || run.interrupted || run.epoch % config.saveEvery === 0) await run.save();
      if (run.interrupted && !last) return run.finish('interrupted');
    }
    return run.finish('finished');
  } catch (error) {
    return run.endBy(error);
  }
}

const rollsBack = ({ divergence, hacking }: GrpoConfig) =>
  divergence.action === 'rollback' || hacking.action === 'rollback';
