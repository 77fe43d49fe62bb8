import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readJsonLines } from './json-lines';
import { type EvaluationRecord, type HistogramRecord, type RunLog, runLog } from './run-log';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'log-'));
});
afterEach(() => rm(folder, { recursive: true }));

const epoch = (log: RunLog, number: number, reward = number) =>
  log.onEpoch(
    { epoch: number, updates: 0, samples: 0, reward },
    {
      rewards: [0, Number.NaN],
      advantages: Float64Array.of(-1, 1),
      prompts: () => [{ index: number, times: 1, reward: 0.5, spread: 0, lastEpoch: number }],
    },
  );
const evaluation = (log: RunLog, number: number) =>
  log.onEvaluation({
    epoch: number,
    reward: 1,
    prompts: ['a', 'b'],
    metadata: [],
    scores: [1, Number.NaN],
    details: {},
    images: Float32Array.from({ length: 6 }, () => 0.5),
    imageShape: [2, 1, 1, 3],
    seconds: 1,
  });
const epochs = async (name: string) =>
  (await readJsonLines<EpochMetrics | EvaluationRecord | HistogramRecord>(join(folder, `${name}.jsonl`))).map(
    (record) => record.epoch,
  );

it('drops what a resumed run writes again', async () => {
  const first = await runLog(folder, 0);
  await evaluation(first, 0);
  for (const n of [0, 1, 2]) await epoch(first, n);
  await evaluation(first, 3);
  const second = await runLog(folder, 2);
  await epoch(second, 2);
  expect(await epochs('metrics')).toEqual([0, 1, 2]);
  expect(await epochs('histograms')).toEqual([0, 1, 2]);
  expect(await epochs('evaluations')).toEqual([0]);
});

it('drops what a run that is rolled back writes again', async () => {
  const log = await runLog(folder, 0);
  await evaluation(log, 0);
  for (const n of [0, 1, 2, 3]) await epoch(log, n);
  await evaluation(log, 4);
  for (const n of [2, 3, 4]) await epoch(log, n, 100 + n);
  expect(await epochs('metrics')).toEqual([0, 1, 2, 3, 4]);
  expect(await epochs('evaluations')).toEqual([0]);
  const lines = await readJsonLines<EpochMetrics>(join(folder, 'metrics.jsonl'));
  expect(lines.map(({ reward }) => reward)).toEqual([0, 1, 102, 103, 104]);
});

it('keeps what each image scored, and what is known of each prompt', async () => {
  const log = await runLog(folder, 0);
  await epoch(log, 0);
  await evaluation(log, 1);
  const [record] = await readJsonLines<EvaluationRecord>(join(folder, 'evaluations.jsonl'));
  expect(record!.perImage).toEqual({ reward: [1, null] });
  const prompts = async () => JSON.parse(await readFile(join(folder, 'prompts.json'), 'utf8'));
  expect(await prompts()).toEqual([{ index: 0, times: 1, reward: 0.5, spread: 0, lastEpoch: 0 }]);
  await epoch(log, 5);
  await log.close();
  expect(await prompts()).toMatchObject([{ index: 5 }]);
});
