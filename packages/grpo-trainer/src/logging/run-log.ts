/** What a run leaves behind to look at: JSON lines, TensorBoard events and sample grids in its folder. */
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Evaluation } from '../evaluate';
import { imageGrid } from '../report/image-grid';
import type { EpochMetrics } from '../train';
import { eventWriter } from './tensorboard';

/** One line of evaluations.jsonl. */
export interface EvaluationRecord {
  readonly epoch: number;
  readonly reward: number;
  readonly seconds: number;
  /** Mean of every detail of the scorer. */
  readonly details: Readonly<Record<string, number>>;
  /** PNG of the first images, relative to the folder. */
  readonly grid?: string;
}

export interface RunLog {
  onEpoch(metrics: EpochMetrics): Promise<void>;
  onEvaluation(evaluation: Evaluation): Promise<void>;
}

/**
 * Appends to `metrics.jsonl` and `evaluations.jsonl` and writes TensorBoard events and grids under `folder`. A run
 * that resumes at `fromEpoch` drops the lines that it will write again.
 */
export async function runLog(folder: string, fromEpoch: number): Promise<RunLog> {
  const metricsFile = join(folder, 'metrics.jsonl');
  const evaluationsFile = join(folder, 'evaluations.jsonl');
  await mkdir(join(folder, 'grids'), { recursive: true });
  await keepLines<EpochMetrics>(metricsFile, ({ epoch }) => epoch < fromEpoch);
  await keepLines<EvaluationRecord>(evaluationsFile, ({ epoch }) => fromEpoch > 0 && epoch <= fromEpoch);
  const events = eventWriter(folder);
  return {
    async onEpoch(metrics) {
      await appendFile(metricsFile, `${JSON.stringify(metrics)}\n`);
      events.scalars(metrics.epoch, metrics);
    },
    async onEvaluation({ epoch, reward, seconds, details, prompts, scores, images, imageShape }) {
      const [shown, height, width] = imageShape as [number, number, number];
      const mean = (values: readonly number[]) =>
        values.reduce((a, b) => a + b, 0) / Math.max(1, values.length);
      const record: { -readonly [key in keyof EvaluationRecord]: EvaluationRecord[key] } = {
        epoch,
        reward,
        seconds,
        details: Object.fromEntries(Object.entries(details).map(([name, values]) => [name, mean(values)])),
      };
      if (height === width && shown > 0) {
        const size = height * width * 3;
        const cells = Array.from({ length: shown }, (_, i) => ({
          caption: prompts[i]!,
          images: [images.subarray(i * size, (i + 1) * size)],
          rewards: [scores[i]!],
        }));
        const png = await imageGrid(cells, { side: height });
        record.grid = join('grids', `epoch-${String(epoch).padStart(6, '0')}.png`);
        await writeFile(join(folder, record.grid), png);
        events.image(epoch, 'samples', png, png.readUInt32BE(16), png.readUInt32BE(20));
      }
      events.scalars(epoch, { 'evaluation/reward': reward });
      await appendFile(evaluationsFile, `${JSON.stringify(record)}\n`);
    },
  };
}

/** The records of a JSON-lines file; a last line cut short by a kill is left out. */
export async function readLines<T>(file: string): Promise<T[]> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    try {
      return line ? [JSON.parse(line) as T] : [];
    } catch {
      return [];
    }
  });
}

async function keepLines<T>(file: string, keep: (record: T) => boolean): Promise<void> {
  const kept = (await readLines<T>(file)).filter(keep).map((record) => `${JSON.stringify(record)}\n`);
  await writeFile(`${file}.tmp`, kept.join(''));
  await rename(`${file}.tmp`, file);
}
