/**
 * Flow-GRPO on a laptop: a small Show-o2, pre-trained on scenes of coloured shapes, learns to draw what its prompts
 * ask for. The reward is measured on decoded images by a rule-based checker.
 *
 *     npm run quickstart -- --minutes 6 --seed 0 --out runs/quickstart
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { type EpochMetrics, evaluator, resolveConfig, train } from '@flow-grpo/grpo-trainer';
import { shapeEval } from '@flow-grpo/rewards';
import type * as tf from '@tensorflow/tfjs-core';
import { startBackend } from './backend';
import { accuracies, habits, heldOutPrompts, trainingPrompts, witness } from './evaluation';
import { readOptions } from './options';
import { SAMPLING, smallPolicy } from './policy';
import { progressLine } from './progress';
import { writeReport } from './report';
import { ASSETS, loadSmallModel } from './small-model';

const options = readOptions(process.argv.slice(2));
const out = resolve(options.out);
await mkdir(out, { recursive: true });
const line = progressLine(process.stdout);
try {
  await run();
} catch (error) {
  line.end();
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function run() {
  await startBackend(options.backend);
  const model = await loadSmallModel();
  console.log(`Model: ${ASSETS}\nBackend: ${options.backend}`);
  const policy = smallPolicy(model);
  const scorer = shapeEval({ strictWeight: options.reward === 'strict' ? 1 : 0.5 });
  const config = resolveConfig({
    seed: options.seed,
    epochs: 1_000_000, // time ends the run
    saveEvery: 50,
    keepCheckpoints: 1,
    evalBatchSize: 120,
    sampling: {
      ...SAMPLING,
      noiseLevel: 0.7,
      promptsPerEpoch: 8,
      samplesPerPrompt: 16,
      window: { start: 1, end: 5 },
    },
    training: {
      learningRate: options.learningRate,
      warmupSteps: 6,
      updatesPerEpoch: 2,
      clipRange: 1e-3,
      beta2: 0.99,
      weightDecay: 0,
      globalStd: false,
    },
    ema: { enabled: false },
  });
  const prompts = heldOutPrompts(options.evalPrompts, model.kinds);
  const watched = witness(scorer);
  const evaluate = evaluator(policy, watched, prompts, config);
  const evaluateNow = async (weights: Record<string, tf.Tensor>, epoch: number) => {
    const evaluation = await evaluate(weights, epoch, ({ done, total }) =>
      line.show(`Evaluation: ${done} of ${total} batches`),
    );
    return { ...evaluation, habits: habits(watched.take(), prompts) };
  };

  const start = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
  const before = await evaluateNow(start, 0);
  line.end();
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  console.log(
    `Before: ${percent(accuracies(prompts, before)[0]!.strict)} of ${prompts.length} held-out prompts`,
  );

  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const history: EpochMetrics[] = [];
  const limit = options.minutes * 60;
  let started = 0;
  const result = await train({
    policy,
    prompts: trainingPrompts(options.seed, 4096, model.kinds),
    scorer,
    config,
    outputDir: out,
    signal: stop.signal,
    onEpoch: (metrics) => {
      history.push(metrics);
      // The first epoch compiles; the clock starts after it.
      started ||= performance.now();
      const seconds = (performance.now() - started) / 1000;
      line.show(
        `Epoch ${metrics.epoch + 1}: reward ${metrics.reward.toFixed(3)}, strict ${percent(metrics['reward.strict']!)}, ` +
          `${metrics.samplesPerSecond!.toFixed(0)} images/s, ${(Math.max(0, limit - seconds) / 60).toFixed(1)} minutes left`,
      );
      if (seconds >= limit) stop.abort();
    },
    onMessage: (message) => line.note(message),
  });
  line.end();
  if (result.problem) console.log(result.problem);

  const after = await evaluateNow(result.trained, result.epochs);
  line.end();
  console.log(`After: ${percent(accuracies(prompts, after)[0]!.strict)}`);
  await saveSafetensors(join(out, 'tuned.safetensors'), result.trained);
  await writeFile(
    join(out, 'metrics.jsonl'),
    history.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''),
  );
  const files = await writeReport(out, { options, config, prompts, before, after, history });
  console.log(['Written:', join(out, 'tuned.safetensors'), ...files].join('\n  '));
}
