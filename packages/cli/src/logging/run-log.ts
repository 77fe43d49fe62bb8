/** What a run leaves behind to look at: JSON lines, TensorBoard events and sample grids in its folder. */
import { appendFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { EpochDetails, EpochMetrics, Evaluation } from '@flow-grpo/grpo-trainer';
import { imageGrid } from '../report/image-grid';
import { type SampleStrip, writeStrip } from '../report/sample-strip';
import { type Histogram, histogramOf } from './histogram';
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
}

/** One line of histograms.jsonl. */
export interface HistogramRecord {
  readonly epoch: number;
  readonly advantages?: Histogram | undefined;
  readonly rewards?: Histogram | undefined;
}

/** Something that is told what a run does: a log, a server, a service. */
export interface RunLog {
  onEpoch(metrics: EpochMetrics, details: EpochDetails): void | Promise<void>;

  onEvaluation(evaluation: Evaluation): Promise<EvaluationRecord>;
}

/** The log of a run's folder. */
export interface FolderLog extends RunLog {
  /** Writes what waits. */
  close(): Promise<void>;
}

/**
 * Appends to `metrics.jsonl`, `histograms.jsonl` and `evaluations.jsonl` and writes TensorBoard events, grids and
 * samples under `folder`, and what is known of each prompt to `prompts.json` at evaluations and at the end. A run that resumes at `fromEpoch`, or is rolled back, drops the lines that it will write again.
 */
export async function runLog(folder: string, fromEpoch: number): Promise<FolderLog> {
  const file = (name: string) => join(folder, `${name}.jsonl`);
  const append = (name: string, record: unknown) => appendFile(file(name), `${JSON.stringify(record)}\n`);
  await mkdir(join(folder, 'grids'), { recursive: true });
  await mkdir(join(folder, 'samples'), { recursive: true });
  /** Drops what a run that goes on at `next` will write again. */
  const goBackTo = async (next: number) => {
    await keepLines<EpochMetrics>(file('metrics'), ({ epoch }) => epoch < next);
    await keepLines<HistogramRecord>(file('histograms'), ({ epoch }) => epoch < next);
  };
  await goBackTo(fromEpoch);
  await keepLines<EvaluationRecord>(file('evaluations'), ({ epoch }) => fromEpoch > 0 && epoch <= fromEpoch);
  let expected = fromEpoch;
  const events = eventWriter(folder);
  let known: EpochDetails['prompts'] | undefined;
  const writePrompts = async () => {
    if (!known) return;
    const path = join(folder, 'prompts.json');
    const lines = known().map((prompt) => `  ${JSON.stringify(prompt)}`);
    await writeFile(`${path}.tmp`, `[\n${lines.join(',\n')}\n]\n`);
    await rename(`${path}.tmp`, path);
  };
  return {
    close: writePrompts,
    async onEpoch(metrics, { advantages, rewards, prompts }) {
      known = prompts;
      const { epoch } = metrics;
      if (epoch < expected) {
        // The run was rolled back.
        await goBackTo(epoch);
        await keepLines<EvaluationRecord>(file('evaluations'), (record) => record.epoch <= epoch);
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
      await writePrompts();
      events.scalars(epoch, {
        'evaluation/reward': reward,
        ...Object.fromEntries(means.map(([name, value]) => [`evaluation/${name}`, value])),
      });
      if (shown > 0) {
        const name = `epoch-${String(epoch).padStart(6, '0')}.png`;
        const size = height * width * 3;
        const pictures = Array.from({ length: shown }, (_, i) => images.subarray(i * size, (i + 1) * size));
        const cells = pictures.map((image, i) => ({
          caption: prompts[i]!,
          images: [image],
          rewards: [scores[i]!],
        }));
        const png = await imageGrid(cells, { side: width, height });
        record.grid = join('grids', name);
        await writeFile(join(folder, record.grid), png);
        events.image(epoch, 'samples', png, png.readUInt32BE(16), png.readUInt32BE(20));
        record.samples = await writeStrip(folder, join('samples', name), pictures, {
          width,
          height,
          prompts: prompts.slice(0, shown),
          rewards: scores.slice(0, shown),
        });
      }
      await append('evaluations', record);
      return record;
    },
  };
}

/** Six digits; null for what is no number. */
const short = (value: number) => (Number.isFinite(value) ? Number(value.toPrecision(6)) : null);

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

/** Details do not apply to every image: theirs is NaN. */
function finiteMean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((a, b) => a + b, 0) / finite.length;
}
