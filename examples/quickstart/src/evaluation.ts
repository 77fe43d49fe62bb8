/** How good the model is: held-out prompts, the same noise every time, noise level 0. */
import {
  GENEVAL_TAGS,
  type GenevalMetadata,
  type GenevalTag,
  type PromptExample,
  shapeScenes,
} from '@flow-grpo/datasets';
import type { Evaluation } from '@flow-grpo/grpo-trainer';
import { describeScenes, type FoundShape, freeColors, type Scorer, shapeEval } from '@flow-grpo/rewards';
import { IMAGE_SIZE } from './small-model';

export type Example = PromptExample & { metadata: GenevalMetadata & Record<string, unknown> };

/** Images drawn of each held-out prompt, so that their variety can be measured. */
const GROUP = 4;

/** How often each kind is trained on: the harder, the more. */
const TRAINING_WEIGHTS: Record<GenevalTag, number> = {
  single_object: 0.02,
  two_object: 0.1,
  counting: 0.3,
  colors: 0.08,
  position: 0.3,
  color_attr: 0.2,
};

/**
 * Prompts that training never sees, about `count`, equally many of each kind. Kinds take turns, and the whole list
 * comes four times over, so that its beginning shows everything.
 */
export function heldOutPrompts(count: number, kinds: readonly GenevalTag[]): Example[] {
  const perKind = Math.max(1, Math.round(count / kinds.length / GROUP));
  const streams = kinds.map((kind) =>
    shapeScenes({ size: IMAGE_SIZE, split: 'test', kinds: [kind], seed: 7 }),
  );
  const once = Array.from({ length: perKind }, (_, i) => streams.map((scenes) => scenes.example(i))).flat();
  return Array.from({ length: GROUP }, () => once).flat();
}

export function trainingPrompts(seed: number, count: number, kinds: readonly GenevalTag[]): Example[] {
  const weights = Object.fromEntries(kinds.map((kind) => [kind, TRAINING_WEIGHTS[kind]]));
  const scenes = shapeScenes({ size: IMAGE_SIZE, split: 'train', kinds, weights, seed: seed + 1000 });
  return Array.from({ length: count }, (_, i) => scenes.example(i));
}

/** A share of prompts answered exactly, by kind and in all. */
export interface Accuracy {
  kind: string;
  prompts: number;
  strict: number;
}

/** Strict accuracy of an evaluation: all first, then each kind. */
export function accuracies(prompts: readonly Example[], evaluation: Evaluation): Accuracy[] {
  const strict = evaluation.details.strict!;
  const of = (kind: string, fits: (example: Example) => boolean): Accuracy => {
    const chosen = strict.filter((_, i) => fits(prompts[i]!));
    return {
      kind,
      prompts: chosen.length,
      strict: chosen.reduce((sum, value) => sum + value, 0) / chosen.length,
    };
  };
  const kinds = GENEVAL_TAGS.filter((tag) => prompts.some(({ metadata }) => metadata.tag === tag));
  return [of('all', () => true), ...kinds.map((kind) => of(kind, ({ metadata }) => metadata.tag === kind))];
}

/** An evaluation on the way: what the averaged weights draw after so many training images. */
export interface CurvePoint {
  images: number;
  /** Seconds of training until then. */
  seconds: number;
  strict: number;
  reward: number;
  /** The share of the most frequent colour where the prompt names none. */
  topColor: number;
  color: string;
  diversity: number;
}

/** What was seen of one image. */
export interface Sighting {
  readonly shapes: FoundShape[];
  /** RGB in [0, 1]. */
  readonly pixels: Float32Array;
}

/** A scorer that remembers every image of the prompts it watches, in order. */
export interface Witness extends Scorer {
  /** What was seen since the last call. */
  take(): Sighting[];
}

/**
 * Scores by `scorer`; images of the watched prompts it judges as `shapeEval` does besides (details), and remembers them.
 */
export function witness(scorer: Scorer, watched: readonly Example[]): Witness {
  const judge = shapeEval();
  const names = new Set(watched.map(({ prompt }) => prompt));
  let seen: Sighting[] = [];
  return {
    name: scorer.name,
    async score(images, prompts, metadata, options) {
      if (!prompts.every((prompt) => names.has(prompt))) {
        return scorer.score(images, prompts, metadata, options);
      }
      if (Array.isArray(images)) throw new Error('the quickstart scores tensors, not files');
      const values = (await images.data()) as Float32Array;
      const pixels = values.length / images.shape[0];
      const shapes = await describeScenes(images);
      seen.push(
        ...shapes.map((each, i) => ({ shapes: each, pixels: values.slice(i * pixels, (i + 1) * pixels) })),
      );
      const [scored, judged] = await Promise.all(
        [scorer, judge].map((each) => each.score(images, prompts, metadata, options)),
      );
      return { scores: scored!.scores, details: { ...scored!.details, ...judged!.details } };
    },
    take() {
      const taken = seen;
      seen = [];
      return taken;
    },
  };
}

export function curvePoint(
  evaluation: Evaluation,
  seen: readonly Sighting[],
  prompts: readonly Example[],
  after: Pick<CurvePoint, 'images' | 'seconds'>,
): CurvePoint {
  const { colors, diversity } = habits(seen, prompts);
  const [color, topColor] = Object.entries(colors).reduce((a, b) => (b[1] > a[1] ? b : a));
  const [{ strict }] = accuracies(prompts, evaluation) as [Accuracy];
  return { ...after, strict, reward: evaluation.reward, topColor, color, diversity };
}

/** What the model does where the prompt leaves it free. */
export interface Habits {
  /** Variety within a prompt: how far apart two of its images are, root mean square over pixel values in [−1, 1]. */
  diversity: number;
  /** Shares of the colours chosen where the prompt names none. */
  colors: Record<string, number>;
}

/** @param seen the images of `heldOutPrompts` */
export function habits(seen: readonly Sighting[], prompts: readonly Example[]): Habits {
  const distinct = seen.length / GROUP;
  const groups = Array.from({ length: distinct }, (_, i) =>
    meanDistance(seen.filter((_, j) => j % distinct === i).map(({ pixels }) => pixels)),
  );
  const counts = freeColors(
    seen.map(({ shapes }) => shapes),
    prompts.map(({ metadata }) => metadata),
  );
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return {
    diversity: groups.reduce((sum, value) => sum + value, 0) / groups.length,
    colors: Object.fromEntries(
      Object.entries(counts).map(([color, count]) => [color, count / Math.max(1, total)]),
    ),
  };
}

/** The mean over pairs of root mean square differences; images in [0, 1] are measured as if in [−1, 1]. */
function meanDistance(images: readonly Float32Array[]): number {
  const distances = images.flatMap((a, i) =>
    images.slice(0, i).map((b) => {
      const sum = a.reduce((total, value, k) => total + (value - b[k]!) ** 2, 0);
      return 2 * Math.sqrt(sum / a.length);
    }),
  );
  return distances.reduce((sum, value) => sum + value, 0) / distances.length;
}
