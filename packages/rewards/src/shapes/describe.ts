import { COLORS, type ColorName, type GenevalMetadata } from '@flow-grpo/datasets';
import { checkImages } from '../images';
import type { ScorerImages } from '../scorer';
import { type FindShapesOptions, type FoundShape, findShapes } from './find';
import { hostPixels, type Pixels } from './pixels';

/** The shapes of one image in host memory. */
export const describeScene = (image: Pixels, options?: FindShapesOptions): FoundShape[] =>
  findShapes(image, options);

/** The shapes of every image of a batch, with one read to the host. */
export async function describeScenes(images: ScorerImages, options?: FindShapesOptions): Promise<FoundShape[][]> {
  checkImages('describeScenes', images);
  return (await hostPixels(images)).map((image) => findShapes(image, options));
}

/**
 * Counts the colours chosen where the prompt leaves them free: the shapes of every class that the metadata
 * asks for without a colour. A model that prefers one colour there has found a habit the reward did not ask for.
 */
export function freeColors(
  scenes: readonly FoundShape[][],
  metadata: readonly GenevalMetadata[],
): Record<ColorName, number> {
  const counts = Object.fromEntries(COLORS.map((color) => [color, 0])) as Record<ColorName, number>;
  scenes.forEach((found, i) => {
    const include = metadata[i]?.include ?? [];
    const free = new Set(include.filter(({ color }) => !color).map((object) => object.class));
    for (const { shape, color } of found) {
      if (shape && color && free.has(shape)) counts[color]++;
    }
  });
  return counts;
}

/**
 * How different the scenes of one group (images of the same prompt) are: the mean over pairs of images of
 * their distance in [0, 1]. 0 means that all show one picture. Fewer than two scenes give 0.
 *
 * The distance of two scenes pairs their shapes, nearest first; a pair differs by a third each for colour,
 * place (full at half the image's side) and size (full at a factor of two); a shape without partner counts 1.
 */
export function sceneDiversity(group: readonly (readonly FoundShape[])[]): number {
  let sum = 0;
  let pairs = 0;
  for (let i = 0; i < group.length; i++) {
    for (let j = 0; j < i; j++) {
      sum += sceneDistance(group[i]!, group[j]!);
      pairs++;
    }
  }
  return pairs === 0 ? 0 : sum / pairs;
}

function sceneDistance(a: readonly FoundShape[], b: readonly FoundShape[]): number {
  const total = Math.max(a.length, b.length);
  if (total === 0) return 0;
  const pairs = a.flatMap((p) => b.map((q) => ({ p, q, distance: shapeDistance(p, q) })));
  pairs.sort((x, y) => x.distance - y.distance);
  const used = new Set<FoundShape>();
  let sum = total - Math.min(a.length, b.length);
  for (const { p, q, distance } of pairs) {
    if (used.has(p) || used.has(q)) continue;
    used.add(p).add(q);
    sum += distance;
  }
  return sum / total;
}

function shapeDistance(p: FoundShape, q: FoundShape): number {
  if (p.shape !== q.shape) return 1;
  const place = Math.min(1, 2 * Math.hypot(p.x - q.x, p.y - q.y));
  const size = Math.min(1, Math.abs(Math.log2(p.radius / q.radius)));
  return (Number(p.color !== q.color) + place + size) / 3;
}
