/** The statistics of a comparison: means over seeds, paired differences with their errors, and curves. Pure. */
import type { EpochMetrics } from '@flow-grpo/grpo-trainer';
import type { EvaluationRecord } from '../logging/run-log';

/** A setting trained with one seed. */
export interface ComparedRun {
  readonly setting: string;
  readonly seed: number;
  /** How it ended. */
  readonly reason: string;
  readonly epochs: readonly EpochMetrics[];
  readonly evaluations: readonly EvaluationRecord[];
}

/** A mean with its standard error; NaN where one run or image has none. */
export interface Estimate {
  readonly mean: number;
  readonly error: number;
}

/** An evaluation on the way: after so many training images, and seconds of training (evaluations left out). */
export interface CurvePoint {
  readonly images: number;
  readonly seconds: number;
  readonly value: number;
}

export interface SettingSummary {
  readonly setting: string;
  readonly seeds: readonly number[];
  /** Seeds whose run did not finish, and how it ended. */
  readonly failed: Readonly<Record<number, string>>;
  /** Before training and after it; errors are those over seeds, or over images with one seed. */
  readonly start: Estimate;
  readonly end: Estimate;
  /** End less that of the first setting, image by image with the same seed; `overImages` is the error for these seeds. */
  readonly difference?: Estimate & { readonly overImages: number };
  /** For each level asked for: images and seconds until it was reached; NaN where a seed never did. */
  readonly reached: readonly { readonly level: number; readonly images: number; readonly seconds: number }[];
  readonly imagesPerSecond: number;
  /** Of the images of the last epochs, where they were measured. */
  readonly diversity: number;
  readonly nearBlack: number;
  /** Means over the seeds that have a point there. */
  readonly curve: readonly CurvePoint[];
}

/** Epochs that the last images are measured over. */
const LAST = 10;

/**
 * Compares runs; the first setting is what the others are compared with.
 *
 * @param measure `reward`, or a detail of the scorer
 * @param levels of it, whose times are wanted
 * @throws {Error} naming the run that lacks evaluations, or that has not the images of the others
 */
export function compareRuns(
  runs: readonly ComparedRun[],
  measure: string,
  levels: readonly number[] = [],
): SettingSummary[] {
  const settings = [...new Set(runs.map(({ setting }) => setting))];
  const of = (setting: string) => runs.filter((run) => run.setting === setting);
  const base = new Map(of(settings[0]!).map((run) => [run.seed, lastImages(run, measure)]));
  return settings.map((setting, place) => {
    const own = of(setting);
    const ends = own.map((run) => lastImages(run, measure));
    const starts = own.map((run) => imagesOf(run, run.evaluations[0], measure));
    const curves = own.map((run) => curveOf(run, measure));
    const differences = own.flatMap((run, i) => {
      const other = base.get(run.seed);
      return other ? [pairsOf(run, ends[i]!, other)] : [];
    });
    const last = own.flatMap(({ epochs }) => epochs.slice(-LAST));
    const warm = own.flatMap(({ epochs }) => (epochs.length > 1 ? epochs.slice(1) : epochs));
    return {
      setting,
      seeds: own.map(({ seed }) => seed),
      failed: Object.fromEntries(
        own.filter(({ reason }) => reason !== 'finished').map(({ seed, reason }) => [seed, reason]),
      ),
      start: estimateOf(starts),
      end: estimateOf(ends),
      ...(place > 0 &&
        differences.length > 0 && {
          difference: { ...estimateOf(differences), overImages: errorOverImages(differences) },
        }),
      reached: levels.map((level) => ({ level, ...reachedOf(curves, level) })),
      imagesPerSecond:
        warm.reduce((sum, { samplesPerSecond = Number.NaN }) => sum + samplesPerSecond, 0) / warm.length,
      diversity: meanOf(last.map((metrics) => metrics['images.diversity'] ?? Number.NaN)),
      nearBlack: meanOf(last.map((metrics) => metrics['images.nearBlack'] ?? Number.NaN)),
      curve: meanCurve(curves),
    };
  });
}

const lastImages = (run: ComparedRun, measure: string) => imagesOf(run, run.evaluations.at(-1), measure);

function imagesOf({ setting, seed }: ComparedRun, record: EvaluationRecord | undefined, measure: string) {
  const values = record?.perImage?.[measure];
  if (values) return values.map((value) => value ?? Number.NaN);
  const known = Object.keys(record?.perImage ?? {});
  throw new Error(
    `${setting}, seed ${seed}: its evaluations have no ${measure}${known.length > 0 ? `; they have ${known.join(', ')}` : ': the setup needs evalPrompts'}`,
  );
}

function pairsOf({ setting, seed }: ComparedRun, values: readonly number[], others: readonly number[]) {
  if (values.length !== others.length) {
    throw new Error(
      `${setting}, seed ${seed}: evaluated on ${values.length} images, the first setting on ${others.length}; give both the same evaluation prompts`,
    );
  }
  return values.map((value, i) => value - others[i]!);
}

/** Of values by seed and image: over seeds, or over the images of the only seed. */
function estimateOf(bySeed: readonly (readonly number[])[]): Estimate {
  const means = bySeed.map(meanOf);
  return {
    mean: meanOf(means),
    error: means.length > 1 ? errorOf(means) : errorOf((bySeed[0] ?? []).filter(Number.isFinite)),
  };
}

/** The error of a mean over seeds for these seeds: only the images are a sample. */
const errorOverImages = (bySeed: readonly (readonly number[])[]) =>
  Math.sqrt(bySeed.reduce((sum, values) => sum + errorOf(values.filter(Number.isFinite)) ** 2, 0)) /
  bySeed.length;

function errorOf(values: readonly number[]): number {
  const mean = meanOf(values);
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}

/** Of the finite values. */
function meanOf(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.reduce((sum, value) => sum + value, 0) / finite.length;
}

function curveOf(run: ComparedRun, measure: string): CurvePoint[] {
  const seconds = new Map<number, number>([[0, 0]]);
  const images = new Map<number, number>([[0, 0]]);
  let total = 0;
  for (const { epoch, samples, seconds: own = 0 } of run.epochs) {
    total += own;
    seconds.set(epoch + 1, total);
    images.set(epoch + 1, samples);
  }
  return run.evaluations.flatMap((record) => {
    const after = { images: images.get(record.epoch), seconds: seconds.get(record.epoch) };
    if (after.images === undefined || after.seconds === undefined) return [];
    return [{ images: after.images, seconds: after.seconds, value: meanOf(imagesOf(run, record, measure)) }];
  });
}

/** Means over seeds, where they were evaluated after equally many images. */
function meanCurve(curves: readonly (readonly CurvePoint[])[]): CurvePoint[] {
  const counts = [...new Set(curves.flat().map(({ images }) => images))].sort((a, b) => a - b);
  return counts.map((images) => {
    const there = curves.flat().filter((point) => point.images === images);
    return {
      images,
      seconds: meanOf(there.map(({ seconds }) => seconds)),
      value: meanOf(there.map(({ value }) => value)),
    };
  });
}

/** Means over seeds of where each curve first reaches a level, on straight lines between evaluations. */
function reachedOf(curves: readonly (readonly CurvePoint[])[], level: number) {
  const places = curves.map((curve) => {
    const at = curve.findIndex(({ value }) => value >= level);
    if (at < 0) return { images: Number.NaN, seconds: Number.NaN };
    const [before, after] = [curve[at - 1] ?? curve[at]!, curve[at]!];
    const share = after.value > before.value ? (level - before.value) / (after.value - before.value) : 0;
    const between = (from: number, to: number) => from + share * (to - from);
    return {
      images: between(before.images, after.images),
      seconds: between(before.seconds, after.seconds),
    };
  });
  // One that never gets there has no time, and the mean of the others would flatter.
  const mean = (values: readonly number[]) => (values.every(Number.isFinite) ? meanOf(values) : Number.NaN);
  return {
    images: mean(places.map(({ images }) => images)),
    seconds: mean(places.map(({ seconds }) => seconds)),
  };
}
