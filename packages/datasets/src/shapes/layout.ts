import type { GenevalRelation } from '../geneval/metadata';
import { below, pick, type Random } from '../random';
import type { Asked, Caption } from './captions';
import type { ColorName } from './colors';
import { OUTLINES, type Shape } from './outlines';

/** One thing in a scene; lengths as a fraction of the image side, the origin at the top left, y down. */
export interface SceneObject {
  shape: Shape;
  color: ColorName;
  x: number;
  y: number;
  /** Radius of the circle of the same area. */
  radius: number;
  /** Radians, clockwise as seen. */
  rotation: number;
}

const MARGIN = 0.02; // between a shape and the edge of the image
const GAP = 0.035; // between shapes: over two pixels at 64, so that they stay apart when blurred
const SLANT = 0.42; // off-axis part over on-axis part of a relation: 23°, inside the checker's 30°
const TRIES = 60;

/** Radius ranges by the number of objects. */
const RADII: Record<number, [number, number]> = { 1: [0.13, 0.22], 2: [0.105, 0.155], 3: [0.095, 0.13] };
const CROWD: [number, number] = [0.09, 0.115];

/** A thing to draw: colour decided, place not yet. */
export type Painted = Required<Asked>;

/** Decides the free colours. Counted objects share one colour half of the time, as a crowd often does. */
export function paintCaption(caption: Caption, colors: readonly ColorName[], random: Random): Painted[] {
  const { asked, count, kind } = caption;
  if (kind !== 'counting') {
    return asked.map(({ shape, color }) => ({ shape, color: color ?? pick(random, colors) }));
  }
  const { shape, color } = asked[0]!;
  const shared = color ?? (random() < 0.5 ? pick(random, colors) : undefined);
  return Array.from({ length: count }, () => ({ shape, color: shared ?? pick(random, colors) }));
}

/**
 * Places shapes without touching one another or the edge, and so that `relation` holds for the first two.
 * Sizes shrink a little after each failed attempt, so this ends for any number that fits an image at all.
 */
export function placeObjects(
  painted: Painted[],
  relation: GenevalRelation | undefined,
  tilt: number,
  random: Random,
): SceneObject[] {
  const [low, high] = RADII[painted.length] ?? CROWD;
  const crowd = low + (high - low) * random(); // three and more are of about one size
  for (let shrink = 1; shrink > 0.05; shrink *= 0.96) {
    const objects = painted.map(({ shape, color }): SceneObject => {
      const free = low + (high - low) * random();
      const radius = shrink * (painted.length > 2 ? crowd * (0.95 + 0.1 * random()) : free);
      return { shape, color, x: 0, y: 0, radius, rotation: (random() * 2 - 1) * tilt };
    });
    if (place(objects, relation, random)) return objects;
  }
  throw new Error(`shapeScenes: ${painted.length} shapes do not fit one image`);
}

function place(objects: SceneObject[], relation: GenevalRelation | undefined, random: Random): boolean {
  const reach = objects.map(({ shape, radius }) => OUTLINES[shape].bound * radius);
  return objects.every((object, i) => {
    const edge = reach[i]! + MARGIN;
    for (let attempt = 0; attempt < TRIES; attempt++) {
      object.x = edge + (1 - 2 * edge) * random();
      object.y = edge + (1 - 2 * edge) * random();
      if (relation && i === 1 && !stands(objects[0]!, relation, object)) continue;
      let free = true;
      for (let j = 0; j < i && free; j++) {
        const other = objects[j]!;
        const apart = reach[i]! + reach[j]! + GAP;
        free = (object.x - other.x) ** 2 + (object.y - other.y) ** 2 > apart * apart;
      }
      if (free) return true;
    }
    return false;
  });
}

function stands(a: SceneObject, relation: GenevalRelation, b: SceneObject): boolean {
  const sideways = relation === 'left of' || relation === 'right of';
  const along = sideways ? b.x - a.x : b.y - a.y;
  const across = sideways ? b.y - a.y : b.x - a.x;
  const forward = relation === 'left of' || relation === 'above' ? along : -along;
  return forward > 0 && Math.abs(across) < SLANT * forward;
}

/** A number in [0, bound) other than `not`. */
export const otherIndex = (random: Random, bound: number, not: number): number =>
  (not + 1 + below(random, bound - 1)) % bound;
