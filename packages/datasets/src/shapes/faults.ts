import type { GenevalRelation } from '../geneval/metadata';
import { GENEVAL_RELATIONS } from '../geneval/metadata';
import { below, pick, type Random } from '../random';
import type { Caption } from './captions';
import type { ColorName } from './colors';
import { otherIndex, type Painted } from './layout';
import type { Shape } from './outlines';

/** One thing drawn differently from what the prompt says. */
export const FAULTS = ['count', 'color', 'place', 'shape'] as const;
export type Fault = (typeof FAULTS)[number];

/**
 * The faults a caption can have: colour only where it is asked for, place only where a relation is, and
 * another shape or colour only where there is one.
 */
export function possibleFaults(
  { asked, relation }: Caption,
  shapes: readonly Shape[],
  colors: readonly ColorName[],
): Fault[] {
  const possible: Record<Fault, boolean> = {
    count: true,
    color: colors.length > 1 && asked.every(({ color }) => color !== undefined),
    place: relation !== undefined,
    shape: shapes.length > 1,
  };
  return FAULTS.filter((fault) => possible[fault]);
}

/** What is drawn instead of what the caption asks for; always something the caption does not allow. */
export function plantFault(
  fault: Fault,
  caption: Caption,
  painted: Painted[],
  shapes: readonly Shape[],
  colors: readonly ColorName[],
  random: Random,
): { painted: Painted[]; relation: GenevalRelation | undefined } {
  const { relation } = caption;
  const victim = below(random, painted.length);
  const change = (to: Partial<Painted>) =>
    painted.map((object, i) => (i === victim ? { ...object, ...to } : object));
  switch (fault) {
    case 'place':
      return {
        painted,
        relation: pick(
          random,
          GENEVAL_RELATIONS.filter((other) => other !== relation),
        ),
      };
    case 'count':
      return painted.length > 1 && random() < 0.5
        ? { painted: painted.filter((_, i) => i !== victim), relation: undefined }
        : { painted: [...painted, { ...painted[victim]! }], relation };
    case 'color': {
      const other = otherIndex(random, colors.length, colors.indexOf(painted[victim]!.color));
      return { painted: change({ color: colors[other]! }), relation };
    }
    case 'shape': {
      const other = otherIndex(random, shapes.length, shapes.indexOf(painted[victim]!.shape));
      return { painted: change({ shape: shapes[other]! }), relation };
    }
  }
}
