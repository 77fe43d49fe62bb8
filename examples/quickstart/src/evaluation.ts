/** How good the model is: held-out prompts, the same noise every time, noise level 0. */
import {
  GENEVAL_TAGS,
  type GenevalMetadata,
  type GenevalTag,
  type PromptExample,
  shapeScenes,
} from '@flow-grpo/datasets';
import type { Evaluation } from '@flow-grpo/grpo-trainer';
import {
  describeScenes,
  type FoundShape,
  freeColors,
  type Scorer,
  sceneDiversity,
  shapeEval,
} from '@flow-grpo/rewards';
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

/** A scorer that remembers what it found in every image, in order. */
export interface Witness extends Scorer {
  /** What was found since the last call. */
  take(): FoundShape[][];
}

/** Scores by `scorer`, judges every image as `shapeEval` does besides (details), and remembers the shapes in it. */
export function witness(scorer: Scorer): Witness {
  const judge = shapeEval();
  let seen: FoundShape[][] = [];
  return {
    name: scorer.name,
    async score(images, prompts, metadata, options) {
      seen.push(...(await describeScenes(images)));
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

/** What the model does where the prompt leaves it free. */
export interface Habits {
  /** Mean distance of two images of one prompt, 0 (all alike) to 1. */
  diversity: number;
  /** Shares of the colours chosen where the prompt names none. */
  colors: Record<string, number>;
}

/** @param scenes what was found in the images of `heldOutPrompts` */
export function habits(scenes: readonly FoundShape[][], prompts: readonly Example[]): Habits {
  const distinct = scenes.length / GROUP;
  const groups = Array.from({ length: distinct }, (_, i) =>
    sceneDiversity(scenes.filter((_, j) => j % distinct === i)),
  );
  const counts = freeColors(
    scenes,
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
