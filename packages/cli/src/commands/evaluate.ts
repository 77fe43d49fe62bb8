/** flow-grpo eval and flow-grpo sample */
import { join } from 'node:path';
import {
  asScorer,
  ConfigError,
  createEvaluator,
  loraScaleOf,
  placementOn,
  trainableParams,
  withEvalRewards,
} from '@flow-grpo/grpo-trainer';
import { finiteMean } from '@flow-grpo/grpo-trainer/maths';
import { loadWeights } from '@flow-grpo/grpo-trainer/node';
import { duration } from '../logging/duration';
import { progressLine } from '../logging/progress-line';
import { runLog } from '../logging/run-log';
import { setupFingerprint } from '../setup/fingerprint';
import { need, openRun, type SharedOptions } from './shared';

export interface EvaluateCommandOptions extends SharedOptions {
  readonly checkpoint?: string;
  /** A folder of adapters in PEFT's layout. */
  readonly adapter?: string;
  /** What else may differ from the run of the checkpoint. */
  readonly allowChanged?: readonly string[];
}

/** What an evaluation may look at otherwise than the run did; the model must be the same. */
const EVALUATED = ['setup.prompts', 'setup.evalPrompts', 'setup.scorer', 'setup.reward'];

/** Scores the evaluation prompts; with `images` it also draws a grid. Prints one line of JSON. */
export async function evaluateCommand(
  file: string | undefined,
  options: EvaluateCommandOptions,
  images: boolean,
): Promise<void> {
  const line = progressLine();
  if (options.checkpoint && options.adapter)
    throw new ConfigError('--checkpoint and --adapter: give only one of them');
  const { run, made } = await openRun(file, options, { onMessage: line.note });
  const { config, output } = run;
  const policy = need(made.policy, 'policy', run);
  if (options.adapter && !loraScaleOf(policy))
    throw new ConfigError(`--adapter: setup ${run.setup.kind} takes no adapters`);
  const prompts = need(made.evalPrompts ?? made.prompts, 'evalPrompts', run);
  const placement = placementOn(config.devices, config);
  placement.splitFrozen(policy.params);
  const scorer = withEvalRewards(asScorer(need(made.scorer, 'scorer', run)), made.evalRewards);
  const evaluate = createEvaluator(policy, scorer, prompts, config, placement);
  const { trainable } = policy;
  const shapes = Object.fromEntries(trainable.map((name) => [name, policy.params[name]!.shape]));
  const loaded = options.checkpoint
    ? await loadWeights(options.checkpoint, config, {
        ...{ placement, trainable, shapes },
        setup: await setupFingerprint(run.setup, made),
        allowChanged: [...EVALUATED, ...(options.allowChanged ?? [])],
      })
    : undefined;
  const weights = loaded?.weights ?? trainableParams(policy, (value) => value);
  const started = performance.now();
  const evaluation = await evaluate(weights, loaded?.run.epoch ?? 0, ({ done, total }) => {
    const seconds = (performance.now() - started) / 1000;
    const rate = `${((done * config.evalBatchSize) / seconds).toPrecision(3)} images/s`;
    const left = `ends in ${duration(((total - done) * seconds) / done)}`;
    const text = [`evaluation ${Math.min(done + 1, total)}/${total}`, ...(done > 0 ? [rate, left] : [])];
    line.show(text.join('  '), done / total);
  });
  line.end();
  if (images) {
    const log = await runLog(output, Number.POSITIVE_INFINITY);
    await log.onEvaluation(evaluation);
    line.note(`images: ${join(output, 'grids')}`);
  }
  const { epoch, reward, scores, details } = evaluation;
  console.log(JSON.stringify({ epoch, reward, images: scores.length, details: meanDetails(details) }));
}

/** The mean of each part of the reward, over the images that have it. */
function meanDetails(details: Readonly<Record<string, readonly number[]>>): Record<string, number> {
  const means = Object.entries(details).map(([name, values]) => [name, finiteMean(values)] as const);
  return Object.fromEntries(means.filter(([, mean]) => Number.isFinite(mean)));
}
