/**
 * Reinforcement learning of a flow on a laptop: a small Show-o2, pre-trained on scenes of coloured shapes, learns to draw
 * what its prompts ask for. The reward is measured on decoded images by a rule-based checker.
 *
 *     npm run quickstart -- --minutes 6 --seed 0 --out runs/quickstart
 */
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import {
  createEvaluator,
  type EpochMetrics,
  type Params,
  resolveConfig,
  train,
} from '@flow-grpo/grpo-trainer';
import { abortOnSignals, checkpointFolder } from '@flow-grpo/grpo-trainer/node';
import { hasCompiler } from '@flow-grpo/tfjs-jit';
import { progressLine } from 'flow-grpo';
import { chooseBackend } from './backend';
import {
  accuracies,
  type CurvePoint,
  curvePoint,
  habits,
  heldOutPrompts,
  trainingPrompts,
  witness,
} from './evaluation';
import { readOptions } from './options';
import { resultOf, saveTuned, trainingSeconds } from './outputs';
import { smallPolicy } from './policy';
import { recipe } from './recipe';
import { percent, writeReport } from './report';
import { trainingReward } from './reward';
import { defaultEvalPrompts, trainingClock, trainingTime } from './size';
import { loadSmallModel } from './small-model';

const PROMPTS = 4096;

const given = readOptions(process.argv.slice(2));
const out = resolve(given.out);
const line = progressLine(process.stdout);
try {
  await run();
} catch (error) {
  line.end();
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function run() {
  const opened = performance.now();
  makeFolder(out);
  const scorer = await trainingReward(given);
  const { name, text: backend, reason } = await chooseBackend(given.backend, given.devices);
  if (reason !== undefined) {
    console.log(
      `${reason}\nUntil then this runs on WebAssembly, which takes about a minute for what XLA does in a second.`,
    );
  }
  const sized = { ...given, backend: name, evalPrompts: given.evalPrompts ?? defaultEvalPrompts() };
  const model = await loadSmallModel(given.model);
  console.log(`Model: ${given.model}\nBackend: ${backend}\nReward: ${given.reward}`);
  const policy = smallPolicy(model, given.train);
  const config = resolveConfig(recipe(given, hasCompiler()));
  const prompts = heldOutPrompts(sized.evalPrompts, model.kinds);
  const watched = witness(scorer, prompts);
  const evaluate = createEvaluator(policy, watched, prompts, config);
  const evaluateNow = async (when: 'Before' | 'After', weights: Params, epoch: number) => {
    const evaluation = await evaluate(weights, epoch, ({ done, total }) =>
      line.show(`Evaluation: ${done} of ${total} batches`),
    );
    line.end();
    const [all] = accuracies(prompts, evaluation);
    console.log(
      `${when}: ${percent(all!.strict)} of ${prompts.length} images of held-out prompts show ` +
        `exactly what was asked for, reward ${evaluation.reward.toFixed(3)}`,
    );
    return { ...evaluation, habits: habits(watched.take(), prompts) };
  };

  const start = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
  const evaluationStarted = performance.now();
  const before = await evaluateNow('Before', start, 0);
  const evaluation = (performance.now() - evaluationStarted) / 1000;
  const elapsed = (performance.now() - opened) / 1000;
  const time = trainingTime({ elapsed, evaluation, images: prompts.length });
  const options = { ...sized, minutes: given.minutes ?? time.minutes };
  if (time.images !== undefined && given.minutes === undefined) {
    console.log(
      `Expected to finish in ${Math.ceil(time.minutes + evaluation / 60)} minutes, after about ${time.images} training images. ` +
        'XLA draws tens of thousands in that time: this shows the whole loop, but the model learns little.',
    );
  }
  const { signal, release } = abortOnSignals((name) =>
    line.note(`${name}: ends after this epoch, with a report; press again to end now`),
  );
  const clock = trainingClock(options);
  const history: EpochMetrics[] = [];
  const curve: CurvePoint[] = [];
  const result = await train({
    policy,
    ...(options.curve && {
      evalPrompts: prompts,
      onEvaluation: async (evaluation) => {
        const { samples: images = 0 } = history.at(-1) ?? {};
        const seconds = trainingSeconds(history);
        curve.push(curvePoint(evaluation, watched.take(), prompts, { images, seconds }));
        await writeFile(join(out, 'curve.json'), `${JSON.stringify(curve, null, 2)}\n`);
      },
    }),
    prompts: trainingPrompts(options.seed, PROMPTS, model.kinds),
    scorer: watched,
    config,
    store: checkpointFolder(join(out, 'checkpoints')),
    signal: AbortSignal.any([signal, clock.signal]),
    onEpoch: (metrics) => {
      history.push(metrics);
      line.show(`${epochText(metrics)}, ${clock.tick()}`);
    },
    onMessage: (message) => line.note(message),
  }).finally(release);
  line.end();
  if (result.problem) console.log(result.problem);

  const after = await evaluateNow('After', result.ema, result.epochs);
  const outcome = { options, config, prompts, before, after, history };
  const tuned = await saveTuned(out, model, result.ema, outcome);
  await writeFile(
    join(out, 'metrics.jsonl'),
    history.map((metrics) => `${JSON.stringify(metrics)}\n`).join(''),
  );
  const totalSeconds = (performance.now() - opened) / 1000;
  const { problem } = result;
  const measured = resultOf(outcome, { backend, totalSeconds, ...(problem && { problem }) });
  await writeFile(join(out, 'result.json'), `${JSON.stringify(measured, null, 2)}\n`);
  const files = await writeReport(out, outcome, measured);
  const minutes = (totalSeconds / 60).toFixed(1);
  console.log(`${minutes} minutes in total, ${(measured.peakMemory / 2 ** 30).toFixed(1)} GiB peak memory`);
  console.log(['Written:', ...files, ...tuned, join(out, 'result.json')].join('\n  '));
}

function epochText({ epoch, reward, samplesPerSecond, ...metrics }: EpochMetrics): string {
  const strict = metrics['reward.strict'];
  return [
    `Epoch ${epoch + 1}: reward ${reward.toFixed(3)}`,
    ...(strict === undefined ? [] : [`strict ${percent(strict)}`]),
    `${samplesPerSecond!.toPrecision(3)} images/s`,
  ].join(', ');
}
