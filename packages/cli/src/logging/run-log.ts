/** The log in a run's folder: JSON lines, TensorBoard events and sample grids. */
import { createHash } from 'node:crypto';
import { appendFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import type { EpochDetails, EpochMetrics, Evaluation } from '@flow-grpo/grpo-trainer';
import { imageGrid } from '../report/image-grid';
import { readStrip, type SampleStrip, writeStrip } from '../report/sample-strip';
import { type Histogram, histogramOf } from './histogram';
import { keepLines, readJsonLines } from './json-lines';
import { eventWriter } from './tensorboard';

/** One line of evaluations.jsonl. */
export interface EvaluationRecord {
  readonly epoch: number;
  readonly reward: number;
  readonly seconds: number;
  /** Mean of every detail of the scorer, over the images it applies to. */
  readonly details: Readonly<Record<string, number>>;
  /** The reward and every detail of each image, so that runs can be compared image by image; null where there is none. */
  readonly perImage?: Readonly<Record<string, readonly (number | null)[]>>;
  /** PNG of the first images with their prompts and rewards, relative to the folder. */
  readonly grid?: string;
  /** The same images without them, with which a report puts two evaluations side by side. */
  readonly samples?: SampleStrip;
  /** Every image's reward, and the file with their prompts, relative to the folder; null for dropped images. */
  readonly all?: { readonly prompts: string; readonly rewards: readonly (number | null)[] };
}

/** The prompts of evaluations, in a file of their own: they are the same every time. */
export interface PromptList {
  readonly prompts: readonly string[];
  /** The sort of each prompt, where the data set says: its metadata's `kind` or `tag`. */
  readonly kinds: readonly (string | null)[];
}

/** One line of histograms.jsonl. */
export interface HistogramRecord {
  readonly epoch: number;
  readonly advantages?: Histogram | undefined;
  readonly rewards?: Histogram | undefined;
}

/** An observer of a run: a log, a server, a service. */
export interface RunLog {
  onEpoch(metrics: EpochMetrics, details: EpochDetails): void | Promise<void>;

  onEvaluation(evaluation: Evaluation): Promise<EvaluationRecord>;
}

/** The log of a run's folder. */
export interface FolderLog extends RunLog {
  /** Writes what is pending. */
  close(): Promise<void>;
}

/**
 * Appends to `metrics.jsonl`, `histograms.jsonl` and `evaluations.jsonl` and writes TensorBoard events, grids and
 * samples to `folder`, and statistics of each prompt to `prompts.json` at evaluations and at the end. A run that resumes at
 * `fromEpoch`, or is rolled back, drops the lines that it will write again.
 *
 * @param onMessage called for damaged files, with where their copies are
 */
export async function runLog(
  folder: string,
  fromEpoch: number,
  onMessage?: (message: string) => void,
): Promise<FolderLog> {
  const file = (name: string) => join(folder, `${name}.jsonl`);
  const append = (name: string, record: unknown) => appendFile(file(name), `${JSON.stringify(record)}\n`);
  makeFolder(join(folder, 'grids'));
  makeFolder(join(folder, 'samples'));
  /** Drops what a run that continues at `next` will write again. */
  const goBackTo = async (next: number) => {
    await keepLines<EpochMetrics>(file('metrics'), ({ epoch }) => epoch < next, onMessage);
    await keepLines<HistogramRecord>(file('histograms'), ({ epoch }) => epoch < next, onMessage);
  };
  await goBackTo(fromEpoch);
  await keepLines<EvaluationRecord>(
    file('evaluations'),
    ({ epoch }) => fromEpoch > 0 && epoch <= fromEpoch,
    onMessage,
  );
  let expected = fromEpoch;
  let firstStrip: readonly Float32Array[] | undefined;
  const events = eventWriter(folder);
  let known: EpochDetails['prompts'] | undefined;
  const writeStatistics = async () => {
    if (!known) return;
    const path = join(folder, 'prompts.json');
    const lines = known().map((prompt) => `  ${JSON.stringify(prompt)}`);
    await writeFile(`${path}.tmp`, `[\n${lines.join(',\n')}\n]\n`);
    await rename(`${path}.tmp`, path);
  };
  return {
    close: writeStatistics,
    async onEpoch(metrics, { advantages, rewards, prompts }) {
      known = prompts;
      const { epoch } = metrics;
      if (epoch < expected) {
        // The run was rolled back.
        await goBackTo(epoch);
        await keepLines<EvaluationRecord>(file('evaluations'), (record) => record.epoch <= epoch, onMessage);
      }
      expected = epoch + 1;
      await append('metrics', metrics);
      await append('histograms', {
        epoch,
        advantages: histogramOf(advantages),
        rewards: histogramOf(rewards),
      } satisfies HistogramRecord);
      events.scalars(epoch, metrics);
      events.histogram(epoch, 'advantages', advantages);
      events.histogram(epoch, 'rewards', rewards);
    },
    async onEvaluation(evaluation) {
      const { epoch, reward, seconds, prompts, scores, images, imageShape } = evaluation;
      const [shown, height, width] = imageShape as [number, number, number];
      const means = Object.entries(evaluation.details).map(
        ([name, values]) => [name, finiteMean(values)] as const,
      );
      const record: { -readonly [key in keyof EvaluationRecord]: EvaluationRecord[key] } = {
        epoch,
        reward,
        seconds,
        details: Object.fromEntries(means),
        perImage: {
          reward: scores.map(short),
          ...Object.fromEntries(
            Object.entries(evaluation.details).map(([name, values]) => [name, values.map(short)]),
          ),
        },
      };
      await writeStatistics();
      record.all = { prompts: await writePrompts(folder, evaluation), rewards: scores.map(finiteOrNull) };
      events.scalars(epoch, {
        'evaluation/reward': reward,
        ...Object.fromEntries(means.map(([name, value]) => [`evaluation/${name}`, value])),
      });
      if (shown > 0) {
        const name = `epoch-${String(epoch).padStart(6, '0')}`;
        const size = height * width * 3;
        const pictures = Array.from({ length: shown }, (_, i) => images.subarray(i * size, (i + 1) * size));
        const cells = pictures.map((image, i) => ({
          caption: prompts[i]!,
          images: [image],
          rewards: [scores[i]!],
        }));
        const png = await imageGrid(cells, { side: width, height });
        record.grid = join('grids', `${name}.png`);
        await writeFile(join(folder, record.grid), png);
        events.image(epoch, 'samples', png, png.readUInt32BE(16), png.readUInt32BE(20));
        const strip = await writeStrip(folder, join('samples', name), pictures, {
          width,
          height,
          prompts: prompts.slice(0, shown),
          rewards: scores.slice(0, shown),
        });
        firstStrip ??= await readFirstStrip(folder, strip);
        record.samples = { ...strip, changes: distances(firstStrip, await readStrip(folder, strip)) };
      }
      await append('evaluations', record);
      return record;
    },
  };
}

/** Six digits; null for what is no number. */
const short = (value: number) => (Number.isFinite(value) ? Number(value.toPrecision(6)) : null);

/** Writes the prompts of an evaluation under a name made of them, unless they are there. */
async function writePrompts(folder: string, { prompts, metadata }: Evaluation): Promise<string> {
  const kinds = metadata.map(
    ({ kind, tag }) => [kind, tag].find((value) => typeof value === 'string') ?? null,
  );
  const text = JSON.stringify({ prompts, kinds } as PromptList);
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 12);
  const file = join('samples', `prompts-${digest}.json`);
  await writeFile(join(folder, file), text);
  return file;
}

/** The images of the folder's first evaluation with images, else of `latest`, which is not recorded yet. */
async function readFirstStrip(folder: string, latest: SampleStrip): Promise<Float32Array[]> {
  const records = await readJsonLines<EvaluationRecord>(join(folder, 'evaluations.jsonl'));
  const first = records.find(({ samples }) => samples)?.samples;
  // It may have been removed by hand.
  return (first && (await readStrip(folder, first).catch(() => undefined))) ?? readStrip(folder, latest);
}

/** Root mean square differences between images; NaN, null in a record, where there is nothing of that size to compare. */
function distances(before: readonly Float32Array[], after: readonly Float32Array[]): number[] {
  return after.map((image, i) => {
    const other = before[i];
    if (other?.length !== image.length) return Number.NaN;
    const sum = image.reduce((total, value, k) => total + (value - other[k]!) ** 2, 0);
    return Math.sqrt(sum / image.length);
  });
}

const finiteOrNull = (value: number) => (Number.isFinite(value) ? value : null);

/** Details do not apply to every image: theirs is NaN. */
function finiteMean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((a, b) => a + b, 0) / finite.length;
}
