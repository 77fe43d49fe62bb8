/** The table that describes a run, printed before it starts. */

import { type EpochPlan, epochPlan } from '@flow-grpo/grpo-trainer/config';
import { plural } from '@flow-grpo/page-components/numbers';
import { duration } from '../logging/duration';
import type { MemoryEstimate } from './memory-estimate';
import type { TrainingRun } from './training-run';

/** Rows of names and values, aligned. */
export function textTable(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

/** What is known of an epoch's seconds before there was one. */
export interface TimeEstimate {
  /** As an earlier part of the run measured it. */
  readonly measured?: number | undefined;
  /** Were every operation as fast as a large matrix product. */
  readonly minimum?: number | undefined;
}

/** @param memory where it is known before the model is loaded */
export function startTable(run: TrainingRun, memory: MemoryEstimate | undefined, time: TimeEstimate): string {
  const { config } = run;
  const { sampling, training, devices } = config;
  const plan = epochPlan(config, run.algorithm);
  const updates = training.updatesPerEpoch * training.innerEpochs;
  const perDevice = devices > 1 ? `, ${plan.batchSize / devices} per device` : '';
  const { pointsPerImage } = plan.algorithm;
  const stepsAtOnce =
    plan.stepsPerPass < pointsPerImage ? `, ${plan.stepsPerPass} of their steps at once` : '';
  const rows: [string, string][] = [
    ['setup', `${run.setup.kind}, into ${run.output}`],
    [
      'samples',
      `${plural(config.epochs, 'epoch')} × ${plural(plan.epochSize, 'image')} (${plural(sampling.promptsPerEpoch, 'prompt')} × ${sampling.samplesPerPrompt}) = ${config.epochs * plan.epochSize}`,
    ],
    [
      'rollouts',
      `${plan.batches} per epoch of ${plural(plan.batchSize, 'image')}${perDevice}, on ${plural(devices, 'device')}`,
    ],
    ['steps', `${sampling.numSteps} per rollout; ${noiseText(run, plan)}`],
    [
      'updates',
      `${updates} per epoch, ${plan.totalUpdates} in all; ${plural(plan.rowsPerPass, 'image')} per gradient pass${stepsAtOnce}, ${run.algorithm?.name ?? config.algorithm}, learning rate ${rate(training.learningRate)}`,
    ],
    [
      'evaluation',
      `every ${plural(config.evalEvery, 'epoch')}; ${plural(sampling.evalNumSteps ?? sampling.numSteps, 'step')} without noise, ${plural(config.evalBatchSize, 'image')} per call`,
    ],
    ...guidanceRow(run.setup),
    ...(memory ? memoryRows(memory) : []),
    ['time', timeText(config.epochs, time)],
  ];
  return textTable(rows);
}

function noiseText({ config: { sampling } }: TrainingRun, { algorithm, range, window }: EpochPlan): string {
  const { rollout, pointsPerImage } = algorithm;
  const noise =
    rollout.sampler === 'ode'
      ? 'no noise'
      : `${sampling.rule} noise ${sampling.noiseLevel} on ${window(0).length} of steps ${range.start} … ${range.end - 1} (${sampling.window.kind})`;
  const trained =
    rollout.keep === 'latents' ? `${plural(pointsPerImage, 'time')} of each image` : pointsPerImage;
  return `${noise}, ${trained} trained`;
}

/** Only where the set-up says it; that of a module's policy is not known here. */
function guidanceRow(setup: TrainingRun['setup']): [string, string][] {
  if (setup.kind !== 'showo2' && setup.kind !== 'z-image') return [];
  const { guidanceScale, guidanceInTraining } = setup;
  const where = guidanceInTraining ? 'everywhere' : 'in rollouts and evaluations, none in updates';
  return [['guidance', guidanceScale > 0 ? `${guidanceScale} ${where}` : 'none']];
}

function timeText(epochs: number, { measured, minimum }: TimeEstimate): string {
  const text = (seconds: number) => `${duration(epochs * seconds)} at ${seconds.toPrecision(3)} s per epoch`;
  if (measured !== undefined) return `about ${text(measured)}, as measured before`;
  const later = 'known after the second epoch (the first one compiles)';
  // Less than a second tells nobody anything.
  return minimum === undefined || epochs * minimum < 1
    ? later
    : `${later}; at least ${text(minimum)}, if everything ran as fast as large matrix products`;
}

function memoryRows(memory: MemoryEstimate): [string, string][] {
  const known = memory.weights + memory.training + (memory.samples ?? 0);
  return [
    ['weights', `${count(memory.parameters)}, of which ${count(memory.trainedParameters)} train`],
    [
      'memory',
      `${bytes(known)} per device before activations: weights ${bytes(memory.weights)}, training ${bytes(memory.training)}, samples ${memory.samples === undefined ? 'not known' : bytes(memory.samples)}`,
    ],
  ];
}

/** As people write it: 5e-6, 0.02. */
const rate = (value: number) => (value > 0 && value < 1e-3 ? value.toExponential() : String(value));

/** 1.53e9 → 1.5 B */
function count(value: number): string {
  const [unit, name] = value >= 1e9 ? [1e9, ' B'] : value >= 1e6 ? [1e6, ' M'] : [1, ''];
  return `${Number((value / unit).toPrecision(3))}${name}`;
}

export function bytes(value: number): string {
  const [unit, name] =
    value >= 1e9 ? [1e9, 'GB'] : value >= 1e6 ? [1e6, 'MB'] : value >= 1e3 ? [1e3, 'kB'] : [1, 'B'];
  return `${Number((value / unit).toPrecision(3))} ${name}`;
}
