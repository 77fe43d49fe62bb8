/** The flow-grpo command. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { compilationStats } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { Command } from 'commander';
import { CheckpointStateError, listRuns, loadRun } from '../checkpoint/checkpoint';
import { ConfigError, configJsonSchema } from '../config/resolve';
import { evaluator } from '../evaluate';
import { progressLine } from '../logging/progress-line';
import { runLog } from '../logging/run-log';
import { trainableParams } from '../policy';
import { pretrain } from '../pretrain/flow-matching';
import { writeRunReport } from '../report/run-report';
import { epochPlan } from '../rollout/epoch-plan';
import { abortOnSignals } from '../signals';
import { train } from '../train';
import { type RunFile, readRunFile } from './options';
import { loadSetup, type RunSetup } from './setup';

interface Shared {
  backend: string;
  set: string[];
  setup?: string;
  output?: string;
}

const collectValues = (value: string, previous: string[]) => [...previous, value];
const shared = (command: Command) =>
  command
    .argument('[config]', 'YAML file of options; see flow-grpo schema')
    .option('-s, --set <key=value>', 'override an option, e.g. training.learningRate=1e-4', collectValues, [])
    .option('--setup <module>', 'module that makes policy, prompts and scorer, or toy')
    .option('-o, --output <folder>', "the run's folder")
    .option('--backend <name>', 'xla, or cpu for plain JavaScript', 'xla');

async function useBackend(name: string): Promise<void> {
  if (name === 'cpu') await import('@tensorflow/tfjs-backend-cpu');
  const ok = await tf.setBackend(name).catch((error: Error) => error);
  if (ok !== true) throw new ConfigError(`backend ${name} does not start${ok ? `: ${ok.message}` : ''}`);
}

async function open(file: string | undefined, options: Shared): Promise<RunFile & { made: RunSetup }> {
  const run = await readRunFile(file, options.set, options);
  await useBackend(options.backend);
  return { ...run, made: await loadSetup(run.setup) };
}

function need<T>(value: T | undefined, what: string, run: RunFile): T {
  if (value === undefined) throw new ConfigError(`setup ${run.setup} gives no ${what}`);
  return value;
}

function table({ config }: RunFile): string {
  const plan = epochPlan(config);
  const { sampling, training } = config;
  return [
    `${config.epochs} epochs of ${plan.epochSize} images (${sampling.promptsPerEpoch} prompts × ${sampling.samplesPerPrompt}), in ${plan.batches} rollout(s) of ${plan.batchSize}`,
    `${sampling.numSteps} steps each, ${plan.window(0).length} of them stochastic, ${plan.trainedSteps} trained`,
    `${training.updatesPerEpoch * training.innerEpochs} updates an epoch, ${plan.rowsPerPass} images a gradient pass, ${plan.totalUpdates} updates in all`,
  ].join('\n');
}

async function trainCommand(file: string | undefined, options: Shared & { resume: string | false }) {
  const run = await open(file, options);
  const { made, output } = run;
  const line = progressLine(run.config.epochs);
  line.message(table(run));
  await mkdir(output, { recursive: true });
  await writeFile(join(output, 'config.json'), `${JSON.stringify(run.config, null, 2)}\n`);
  const resume = options.resume || false;
  const log = await runLog(output, resume ? await resumeEpoch(output, resume) : 0);
  const { signal, release } = abortOnSignals((name) =>
    line.message(`${name}: saving, then ending; again to end now`),
  );
  const result = await train({
    policy: need(made.policy, 'policy', run),
    prompts: need(made.prompts, 'prompts', run),
    scorer: need(made.scorer, 'scorer', run),
    evalPrompts: made.evalPrompts,
    config: run.config,
    outputDir: output,
    resume,
    signal,
    onProgress: line.onProgress,
    onMessage: line.message,
    onEpoch: async (metrics) => {
      line.onEpoch(metrics);
      await log.onEpoch(metrics);
    },
    onEvaluation: async (evaluation) => {
      line.message(`evaluation after ${evaluation.epoch} epochs: reward ${evaluation.reward.toFixed(4)}`);
      await log.onEvaluation(evaluation);
    },
  });
  release();
  const weights = run.config.ema.enabled ? result.ema : result.trained;
  if (result.reason === 'finished') await saveSafetensors(join(output, 'model.safetensors'), weights);
  if (result.updates > 0) line.message(`report: ${await writeRunReport(output)}`);
  line.message(result.problem ?? `${result.reason} after ${result.epochs} epochs, ${result.updates} updates`);
  if (result.reason === 'diverged') process.exitCode = 1;
}

async function resumeEpoch(output: string, resume: string): Promise<number> {
  const name = resume === 'auto' ? (await listRuns(join(output, 'checkpoints'))).at(-1) : resume;
  return Number(/epoch-(\d+)\/?$/.exec(name ?? '')?.[1] ?? 0);
}

async function evalCommand(
  file: string | undefined,
  options: Shared & { checkpoint?: string; images?: boolean },
) {
  const run = await open(file, options);
  const policy = need(run.made.policy, 'policy', run);
  const evaluate = evaluator(
    policy,
    need(run.made.scorer, 'scorer', run),
    need(run.made.evalPrompts ?? run.made.prompts, 'evalPrompts', run),
    run.config,
  );
  const loaded = options.checkpoint ? await loadRun(options.checkpoint, run.config) : undefined;
  const weights = loaded
    ? run.config.ema.enabled
      ? loaded.state.ema
      : loaded.state.trained
    : trainableParams(policy, (value) => value);
  const evaluation = await evaluate(weights, loaded?.run.epoch ?? 0);
  if (options.images) {
    const log = await runLog(run.output, Number.POSITIVE_INFINITY);
    await log.onEvaluation(evaluation);
    console.error(`images: ${join(run.output, 'grids')}`);
  }
  console.log(
    JSON.stringify({ epoch: evaluation.epoch, reward: evaluation.reward, images: evaluation.scores.length }),
  );
}

async function pretrainCommand(file: string | undefined, options: Shared) {
  const run = await open(file, options);
  const work = need(run.made.pretrain, 'pretrain', run);
  const { signal, release } = abortOnSignals();
  const result = await pretrain(work.params, work.velocity, work.batchAt, {
    checkpoint: join(run.output, 'pretrain'),
    signal,
    onReport: ({ step, steps, loss, stepsPerSecond, secondsLeft }) =>
      console.error(
        `step ${step}/${steps}  loss ${loss.toFixed(5)}  ${stepsPerSecond.toFixed(1)} steps/s  ${Math.round(secondsLeft)} s left`,
      ),
    ...work.options,
  });
  release();
  if (result.reason === 'finished') await saveSafetensors(join(run.output, 'model.safetensors'), result.ema);
  console.error(`${result.reason} after ${result.steps} steps`);
}

async function doctorCommand({ backend }: { backend: string }) {
  const lines: [string, string][] = [
    ['Node', process.version],
    ['platform', `${process.platform} ${process.arch}`],
  ];
  try {
    await useBackend(backend);
    const product = tf.matMul(tf.ones([64, 64]), tf.ones([64, 64]));
    const [value] = await product.data();
    lines.push(['backend', `${backend}: works (64 × 1 × 1 = ${value})`]);
    if (backend === 'xla') lines.push(['compilation', JSON.stringify(compilationStats())]);
    if (value !== 64) process.exitCode = 1;
  } catch (error) {
    lines.push(['backend', `${backend}: ${(error as Error).message}`]);
    process.exitCode = 1;
  }
  for (const [name, value] of lines) console.log(`${name.padEnd(12)} ${value}`);
}

/** The command with all its subcommands. */
export function program(): Command {
  const root = new Command('flow-grpo').description('Reinforcement learning for flow-matching models');
  shared(root.command('train').description('train; continues from the newest checkpoint in the folder'))
    .option('--resume <auto|path>', 'checkpoint to continue from', 'auto')
    .option('--no-resume', 'start anew')
    .action(trainCommand);
  shared(root.command('eval').description('score the evaluation prompts at noise level 0'))
    .option('--checkpoint <path>', "a checkpoint's folder; the untrained model without it")
    .action(evalCommand);
  shared(root.command('sample').description('as eval, and draw a grid of the images'))
    .option('--checkpoint <path>', "a checkpoint's folder; the untrained model without it")
    .action((file, options) => evalCommand(file, { ...options, images: true }));
  shared(root.command('pretrain').description('pre-train by flow matching; resumes')).action(pretrainCommand);
  root
    .command('report')
    .argument('<folder>', "a run's folder")
    .description('write report.html')
    .action(async (folder: string) => console.log(await writeRunReport(folder)));
  root
    .command('schema')
    .description('print the JSON Schema of configuration files')
    .action(() => console.log(JSON.stringify(configJsonSchema(), null, 2)));
  root
    .command('doctor')
    .description('check that this machine can run it')
    .option('--backend <name>', 'backend to check', 'xla')
    .action(doctorCommand);
  return root;
}

/** Runs the command; mistakes of the user end with their message alone. */
export async function main(argv: readonly string[] = process.argv): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof CheckpointStateError)) throw error;
    console.error(error.message);
    process.exitCode = 2;
  }
}
