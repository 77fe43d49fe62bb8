/** The records in the files of a run, checked: a run's folder may be damaged, edited, or somebody else's. */
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ConfigError, type EpochMetrics } from '@flow-grpo/grpo-trainer';
import { z } from 'zod';
import { readJsonLines } from '../logging/json-lines';
import type { EvaluationRecord, HistogramRecord, PromptList } from '../logging/run-log';

/** What is not finite is null in JSON. */
const number = z.number().nullable();
const epoch = z.number();
/** A file in the run's folder `samples`, and none elsewhere. */
const sampleFile = z.string().regex(/^samples[\\/](?!\.\.?$)[^\\/\0]+$/, 'must be a file in samples/');

const METRICS = z.looseObject({ epoch });
const EVALUATION = z.looseObject({
  epoch,
  reward: number,
  seconds: number.optional(),
  details: z.record(z.string(), number),
  perImage: z.record(z.string(), z.array(number)).optional(),
  samples: z
    .looseObject({
      file: sampleFile,
      width: z.number(),
      height: z.number(),
      prompts: z.array(z.string()),
      rewards: z.array(number),
      changes: z.array(number).optional(),
    })
    .optional(),
  all: z.looseObject({ prompts: sampleFile, rewards: z.array(number) }).optional(),
});
const HISTOGRAM = z.looseObject({ low: z.number(), high: z.number(), counts: z.array(z.number()) }).nullish();
const HISTOGRAMS = z.looseObject({ epoch, advantages: HISTOGRAM, rewards: HISTOGRAM });
const PROMPTS = z.object({ prompts: z.array(z.string()), kinds: z.array(z.string().nullable()) });

/** @throws {ConfigError} naming a file that holds other than a run's records, and what is wrong with the first */
export const readMetrics = (folder: string) => recordsOf<EpochMetrics>(folder, 'metrics.jsonl', METRICS);
/** @throws as {@link readMetrics} */
export const readEvaluations = (folder: string) =>
  recordsOf<EvaluationRecord>(folder, 'evaluations.jsonl', EVALUATION);
/** @throws as {@link readMetrics} */
export const readHistograms = (folder: string) =>
  recordsOf<HistogramRecord>(folder, 'histograms.jsonl', HISTOGRAMS);

async function recordsOf<T extends { epoch: number }>(
  folder: string,
  name: string,
  schema: z.ZodType,
): Promise<T[]> {
  const file = join(folder, name);
  const records = await readJsonLines<T>(file);
  for (const record of records) {
    const checked = schema.safeParse(record);
    if (checked.success) continue;
    if (typeof record.epoch !== 'number')
      throw new ConfigError(`${file} holds a line that is not a record of a run: its epoch is not a number`);
    const { path, message } = checked.error.issues[0]!;
    throw new ConfigError(
      `${file} holds a line that is not a record of a run, that of epoch ${record.epoch}: ${path.join('.')}: ${message}`,
    );
  }
  return records;
}

/** The prompts that a record of an evaluation refers to; undefined where the file is missing or damaged. */
export async function readPromptList(folder: string, file: string): Promise<PromptList | undefined> {
  try {
    return PROMPTS.parse(JSON.parse((await readSample(folder, file.split(/[\\/]/).at(-1)!))!.toString()));
  } catch {
    return undefined;
  }
}

/** A file of the run's folder `samples`; undefined where there is none, and for a link that leads elsewhere. */
export async function readSample(folder: string, name: string): Promise<Buffer | undefined> {
  try {
    const samples = await realpath(join(folder, 'samples'));
    const path = await realpath(join(samples, name));
    if (dirname(path) !== samples || !(await stat(path)).isFile()) return undefined;
    return await readFile(path);
  } catch {
    return undefined;
  }
}
