import {
  type ColorName,
  type GenevalMetadata,
  type GenevalRelation,
  PALETTE,
  SHAPES,
  type Shape,
} from '@flow-grpo/datasets';
import type { FoundShape } from './find';

export interface JudgeOptions {
  /** How far from the axis a relation may stand, degrees; default 30. */
  maxAngle?: number;
  /** Whether shapes that were not asked for are accepted; default false. */
  allowOthers?: boolean;
}

export interface Verdict {
  /** 1 when the image shows what was asked (and nothing else), otherwise 0. */
  strict: number;
  /** How much of it, in [0, 1]; 1 exactly when strict is 1. */
  partial: number;
}

interface Wanted {
  shape: Shape;
  color: ColorName | undefined;
  /** Index in `include`. */
  item: number;
}

const RELATION_SHARE = 0.4; // part of the partial score that the relation decides

/**
 * Compares found shapes with GenEval metadata whose classes are shapes.
 *
 * @throws when the metadata names a class or a colour that the checker does not know.
 */
export function judge(
  found: readonly FoundShape[],
  metadata: GenevalMetadata,
  options: JudgeOptions = {},
): Verdict {
  const { maxAngle = 30, allowOthers = false } = options;
  const wanted = listWanted(metadata);
  const { matches, total } = assign(found, wanted);
  const excess = excluded(found, metadata);
  const all = Math.max(wanted.length, allowOthers && !excess ? 0 : found.length, 1);
  const base = total / all;
  const relations = metadata.include.flatMap(({ position }, item) => {
    if (!position) return [];
    const [relation, target] = position;
    const a = matches[wanted.findIndex((want) => want.item === item)];
    const b = matches[wanted.findIndex((want) => want.item === target)];
    return [a && b ? relationAngle(a, relation, b) : 180];
  });
  const objects = base === 1 && !excess;
  if (relations.length === 0) return { strict: Number(objects), partial: objects ? 1 : Math.min(base, 0.99) };
  const credit = relations.reduce((sum, angle) => sum + fade(angle, maxAngle), 0) / relations.length;
  const strict = Number(objects && relations.every((angle) => angle <= maxAngle));
  const partial = (1 - RELATION_SHARE) * base + RELATION_SHARE * base * credit;
  return { strict, partial: strict ? 1 : Math.min(partial, 0.99) };
}

function listWanted(metadata: GenevalMetadata): Wanted[] {
  return metadata.include.flatMap(({ class: name, color, count }, item) => {
    if (!(SHAPES as readonly string[]).includes(name)) {
      throw new Error(`shapeEval: class "${name}" is none of ${SHAPES.join(', ')}`);
    }
    if (color !== undefined && !Object.hasOwn(PALETTE, color)) {
      throw new Error(`shapeEval: color "${color}" is none of ${Object.keys(PALETTE).join(', ')}`);
    }
    const want: Wanted = { shape: name as Shape, color: color as ColorName | undefined, item };
    return Array.from({ length: count }, () => want);
  });
}

const excluded = (found: readonly FoundShape[], { exclude = [] }: GenevalMetadata) =>
  exclude.some(({ class: name, count }) => found.filter(({ shape }) => shape === name).length >= count);

/** How well a found shape fills a wish: half for its outline, half for its colour (or for having one). */
function agreement(shape: FoundShape, want: Wanted): number {
  const outline = shape.shape === want.shape;
  if (want.color !== undefined) return 0.5 * Number(outline) + 0.5 * Number(shape.color === want.color);
  return outline ? (shape.color === null ? 0.5 : 1) : 0;
}

/** Pairs wishes with shapes, the best pair first. */
function assign(found: readonly FoundShape[], wanted: Wanted[]) {
  const matches: (FoundShape | undefined)[] = wanted.map(() => undefined);
  const free = new Set(found);
  let total = 0;
  for (const level of [1, 0.5]) {
    wanted.forEach((want, i) => {
      if (matches[i]) return;
      for (const shape of free) {
        if (agreement(shape, want) !== level) continue;
        matches[i] = shape;
        free.delete(shape);
        total += level;
        return;
      }
    });
  }
  return { matches, total };
}

/** Degrees between the direction from b to a and the axis the relation names. */
function relationAngle(a: FoundShape, relation: GenevalRelation, b: FoundShape): number {
  const dx = a.x - b.x;
  const dy = a.y - b.y;
  const along = { 'left of': -dx, 'right of': dx, above: -dy, below: dy }[relation];
  const across = relation === 'above' || relation === 'below' ? dx : dy;
  return (Math.atan2(Math.abs(across), along) * 180) / Math.PI;
}

/** Full credit within the allowed angle, none at a right angle or beyond. */
const fade = (angle: number, allowed: number) =>
  Math.min(1, Math.max(0, (90 - angle) / Math.max(90 - allowed, 1e-9)));
