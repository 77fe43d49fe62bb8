import '@tensorflow/tfjs-backend-cpu';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EpochMetrics, gaussianFlow } from '@flow-grpo/grpo-trainer';
import { defineAlgorithm } from '@flow-grpo/grpo-trainer/algorithms';
import { acquireLease, type HeldLease } from '@flow-grpo/grpo-trainer/node';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readJsonLines } from '../logging/json-lines';
import { readRun } from '../page/read-run';
import { runTraining } from './run-training';

let folder: string;
let noted: string[];
beforeAll(() => tf.setBackend('cpu'));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'run-training-'));
  noted = [];
});
afterEach(() => rm(folder, { recursive: true }));

const prompts = ['left', 'right'].map((prompt) => ({ prompt }));
const onItsSide = async (images: tf.Tensor4D, asked: string[]) => {
  const x = await images.data();
  return asked.map((prompt, i) => (prompt === 'right' ? 1 : -1) * x[3 * i]!);
};
const line = {
  show: () => {},
  note: (text: string) => void noted.push(text),
  log: (text: string) => void noted.push(text),
  end: () => {},
};
const options = () => ({
  policy: gaussianFlow({ prompts: ['left', 'right'], mean: [0.5, 0.5], std: 0.1 }),
  prompts,
  evalPrompts: prompts,
  scorer: onItsSide,
  output: join(folder, 'run'),
  line,
});
const config = {
  epochs: 4,
  saveEvery: 2,
  sampling: { numSteps: 5, promptsPerEpoch: 2, samplesPerPrompt: 8 },
  training: { learningRate: 0.02 },
};

/** Puts another byte into a file of a checkpoint. */
async function spoil(run: string, epoch: number, name: string): Promise<void> {
  const file = join(run, `checkpoints/epoch-00000${epoch}/${name}`);
  const bytes = await readFile(file);
  bytes[bytes.length - 8]! ^= 1;
  await writeFile(file, bytes);
}

describe('runTraining', () => {
  it('leaves what the command leaves', async () => {
    const epochs: number[] = [];
    const run = { ...options(), config };
    const result = await runTraining({ ...run, onEpoch: ({ epoch }) => void epochs.push(epoch) });
    expect(result).toMatchObject({ reason: 'finished', epochs: 4, updates: 8, output: run.output });
    expect(result.trained['mean.weight']!.shape).toEqual([2, 2]);
    tf.dispose([result.trained, result.ema]);
    expect(epochs).toEqual([0, 1, 2, 3]);
    const files = await readdir(run.output);
    expect(files).toEqual(
      expect.arrayContaining([
        'metrics.jsonl',
        'evaluations.jsonl',
        'config.json',
        'outcome.json',
        'grids',
        'checkpoints',
        'model.safetensors',
        'report.html',
      ]),
    );
    expect(files.some((name) => name.startsWith('events.out.tfevents.'))).toBe(true);
    expect([result.model, result.report].every((file) => existsSync(file!))).toBe(true);
    expect(noted.join('\n')).toMatch(/^setup +code, into .*run$/m);
    expect(noted.join('\n')).toMatch(/epoch 4\/4 {2}reward/);
  });

  it('keeps how the run ended for its page, until it goes on', async () => {
    const run = options();
    const outcome = async () => (await readRun(run.output)).outcome;
    const diverging = { ...config, training: { learningRate: 1e6 } };
    const result = await runTraining({ ...run, config: diverging });
    tf.dispose([result.trained, result.ema]);
    expect(result.reason).toBe('diverged');
    expect(await outcome()).toMatchObject({ reason: 'diverged', problem: expect.stringMatching(/epoch \d/) });
    const seen: unknown[] = [];
    const scorer = async () => {
      seen.push(await outcome());
      throw new Error('the reward is gone');
    };
    await expect(runTraining({ ...run, scorer, resume: false, config })).rejects.toThrow('gone');
    expect(seen[0]).toBeNull();
    expect(await outcome()).toEqual({ reason: 'failed', problem: expect.stringContaining('gone') });
  });

  it('resumes, keeps what the run is made of, and says which folder it cannot have', async () => {
    const first = await runTraining({ ...options(), config });
    tf.dispose([first.trained, first.ema]);
    const more = await runTraining({ ...options(), config: { ...config, epochs: 6 } });
    tf.dispose([more.trained, more.ema]);
    expect(noted.join('\n')).toContain('Resumed after epoch 4');
    expect(noted.at(-1)).toMatch(/^finished after 6 epochs, \d+ updates$/);
    const same = await runTraining({ ...options(), config: { ...config, epochs: 6 } });
    tf.dispose([same.trained, same.ema]);
    expect(noted.at(-1)).toMatch(
      /^finished after 6 epochs.*; it had already finished: raise epochs to train longer$/,
    );
    const metrics = await readJsonLines<EpochMetrics>(join(folder, 'run/metrics.jsonl'));
    expect(metrics.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4, 5]);
    const other = { ...options(), config: { ...config, epochs: 8 }, fingerprint: { data: 'other' } };
    await expect(runTraining(other)).rejects.toThrow(/data/);
    await writeFile(join(folder, 'file'), '');
    await expect(runTraining({ ...options(), output: join(folder, 'file/run') })).rejects.toThrow(
      /file is a file; choose another/,
    );
    await expect(runTraining({ ...options(), prompts: [] })).rejects.toThrow(/there are no prompts/);
  });

  it.each<[string, (run: string) => Promise<unknown>, object, RegExp]>([
    [
      'by a name that is none',
      async () => {},
      { resume: 'epoch-000022' },
      /epoch-000022 does not exist; the checkpoints of a run are in its folder checkpoints/,
    ],
    [
      'from an older one that is damaged',
      (run) => spoil(run, 2, 'ema.safetensors'),
      { resume: 'epoch-000002' },
      /ema\.safetensors is damaged/,
    ],
    [
      'from one that was half copied',
      (run) => rm(join(run, 'checkpoints/epoch-000004/state.json')),
      {},
      /no state\.json/,
    ],
    ['from one whose state is damaged', (run) => spoil(run, 4, 'state.json'), {}, /state\.json is damaged/],
    [
      'with another configuration',
      async () => {},
      { config: { ...config, seed: 7 } },
      /seed: 0 → 7|seed: \d+ → 7/,
    ],
    [
      'with another setup',
      async () => {},
      { fingerprint: { data: 'other' } },
      /setup\.data: nothing → "other"/,
    ],
  ])('a resume %s changes nothing in the folder', async (_, change, more, message) => {
    const first = await runTraining({ ...options(), config });
    tf.dispose([first.trained, first.ema]);
    const run = options().output;
    await change(run);
    const files = ['metrics.jsonl', 'evaluations.jsonl', 'histograms.jsonl', 'config.json', 'outcome.json'];
    const texts = () => Promise.all(files.map((name) => readFile(join(run, name), 'utf8')));
    const before = await texts();
    await expect(runTraining({ ...options(), config, ...more })).rejects.toThrow(message);
    expect(await texts()).toEqual(before);
    expect((await readdir(join(run, 'checkpoints'))).sort()).toEqual(['epoch-000002', 'epoch-000004']);
  });

  it('resumes with all its lines after a kill while a checkpoint was replaced', async () => {
    const first = await runTraining({ ...options(), config });
    tf.dispose([first.trained, first.ema]);
    const checkpoints = join(options().output, 'checkpoints');
    await rename(join(checkpoints, 'epoch-000004'), join(checkpoints, '.replaced-epoch-000004'));
    const more = await runTraining({ ...options(), config: { ...config, epochs: 5 } });
    tf.dispose([more.trained, more.ema]);
    const metrics = await readJsonLines<EpochMetrics>(join(folder, 'run/metrics.jsonl'));
    expect(metrics.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4]);
  });

  it('that another run takes over writes nothing there any more', async () => {
    const { output } = options();
    const leases: HeldLease[] = [];
    const running = runTraining({
      ...options(),
      config: { ...config, evalEvery: 1 },
      onEpoch: async ({ epoch }) => {
        if (epoch === 1) leases.push(await acquireLease(join(output, 'checkpoints'), { takeOver: true }));
      },
    });
    await expect(running).rejects.toThrow(/was taken over by process/);
    const epochs = async (name: string) =>
      (await readJsonLines<{ epoch: number }>(join(output, name))).map(({ epoch }) => epoch);
    expect(await epochs('metrics.jsonl')).toEqual([0, 1]);
    expect(await epochs('evaluations.jsonl')).toEqual([0, 1]);
    expect(existsSync(join(output, 'outcome.json'))).toBe(false);
    await leases[0]!.check();
    await leases[0]!.release();
  });

  it('ends with a checkpoint when it is told to', async () => {
    const controller = new AbortController();
    const result = await runTraining({
      ...options(),
      config: { ...config, epochs: 1000 },
      signal: controller.signal,
      onEpoch: ({ epoch }) => {
        if (epoch === 2) controller.abort();
      },
    });
    tf.dispose([result.trained, result.ema]);
    expect(result).toMatchObject({ reason: 'interrupted', epochs: 3 });
    expect(result.model).toBeUndefined();
    expect(await readdir(join(folder, 'run/checkpoints'))).toContain('epoch-000003');
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('takes an algorithm of its own, into the table and the folder as well', async () => {
    const { algorithms } = await import('@flow-grpo/grpo-trainer');
    const mine = defineAlgorithm({ ...algorithms.sft, name: 'mine' } as never) as never;
    const result = await runTraining({ ...options(), config, algorithm: mine });
    tf.dispose([result.trained, result.ema]);
    expect(result.reason).toBe('finished');
    expect(noted.join('\n')).toMatch(/updates .*, mine, learning rate/);
    expect(await readFile(join(folder, 'run/report.html'), 'utf8')).toContain('report/run-0.js');
  });
});
