/** How good the model is: held-out prompts, the same noise every time, noise level 0. */
import type { GenevalMetadata, PromptExample } from '@flow-grpo/datasets';
import { type ShapeScenes, shapeScenes } from '@flow-grpo/datasets';
import type { Evaluation } from '@flow-grpo/grpo-trainer';
import { describeScene, freeColors, type Pixels, sceneDiversity } from '@flow-grpo/rewards';
import { IMAGE_SIZE } from './small-model';

export type Example = PromptExample & { metadata: GenevalMetadata & Record<string, unknown> };

/** The kinds in the order of reports. */
export const KINDS = ['single_object', 'two_object', 'counting', 'colors', 'position', 'color_attr'] as const;

/** Prompts that training never sees, equally many of each kind, the same for every seed. */
export function heldOutPrompts(count: number): Example[] {
  const each = Math.max(1, Math.round(count / KINDS.length));
  return KINDS.flatMap((kind) => {
    const scenes = shapeScenes({ size: IMAGE_SIZE, split: 'test', kinds: [kind], seed: 7 });
    return Array.from({ length: each }, (_, i) => scenes.example(i));
  });
}

/**
 * Training prompts, the harder kinds more often. Single objects are left out: four shapes make too few of them to
 * learn from.
 */
export function trainingPrompts(seed: number, count: number): Example[] {
  const weights = {
    two_object: 0.1,
    counting: 0.3,
    colors: 0.08,
    position: 0.3,
    color_attr: 0.22,
    single_object: 0,
  };
  const scenes: ShapeScenes = shapeScenes({ size: IMAGE_SIZE, split: 'train', weights, seed: seed + 1000 });
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
  const of = (kind: string, chosen: readonly number[]): Accuracy => ({
    kind,
    prompts: chosen.length,
    strict: chosen.reduce((sum, i) => sum + strict[i]!, 0) / Math.max(1, chosen.length),
  });
  const everything = prompts.map((_, i) => i);
  return [
    of('all', everything),
    ...KINDS.map((kind) =>
      of(
        kind,
        everything.filter((i) => prompts[i]!.metadata.tag === kind),
      ),
    ),
  ];
}

/** What groups of images of one prompt say of the model's habits. */
export interface Habits {
  /** Mean distance of two images of one prompt, 0 (all alike) to 1. */
  diversity: number;
  /** Shares of the colours chosen where the prompt leaves them free. */
  colors: Record<string, number>;
}

/** @param images [groups · size] images, the groups one after another */
export function habits(images: readonly Pixels[], prompts: readonly Example[], groupSize: number): Habits {
  const scenes = images.map((image) => describeScene(image));
  const groups = Array.from({ length: images.length / groupSize }, (_, g) =>
    scenes.slice(g * groupSize, (g + 1) * groupSize),
  );
  const diversity = groups.reduce((sum, group) => sum + sceneDiversity(group), 0) / groups.length;
  const counts = freeColors(
    scenes,
    prompts.map(({ metadata }) => metadata),
  );
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const colors = Object.fromEntries(
    Object.entries(counts).map(([color, count]) => [color, count / Math.max(1, total)]),
  );
  return { diversity, colors };
}
