import { type ColorName, DEFAULT_SHAPES, type Shape } from '@flow-grpo/datasets';
import { findComponents } from './components';
import { coverage } from './coverage';
import { readInk } from './ink';
import { matchOutline } from './match-outline';
import type { Pixels } from './pixels';

/** Something found in an image; lengths as a fraction of the image's longer side. */
export interface FoundShape {
  /** Null when no outline fits well enough. */
  shape: Shape | null;
  /** Null when the inside is not of one colour. */
  color: ColorName | null;
  x: number;
  y: number;
  /** Radius of the circle of the same area. */
  radius: number;
  /** Overlap (intersection over union) with the best outline, in [0, 1]. */
  fit: number;
  /** Share of the inside that has the most frequent colour, in [0, 1]. */
  purity: number;
}

export interface FindShapesOptions {
  /** Outlines to tell apart; default circle, square, triangle, star. */
  shapes?: readonly Shape[];
  /** Share of the inside that must be of one colour; default 0.85. */
  minPurity?: number;
  /** Overlap with the outline that makes a shape; default 0.82. */
  minFit?: number;
  /** Patches below this fraction of the image are dirt; default 0.004. */
  minArea?: number;
}

/** Finds the shapes of one image, in the order of their first pixel from the top. */
export function findShapes(pixels: Pixels, options: FindShapesOptions = {}): FoundShape[] {
  const { shapes = DEFAULT_SHAPES, minPurity = 0.85, minFit = 0.82, minArea = 0.004 } = options;
  const components = findComponents(pixels);
  const smallest = minArea * pixels.width * pixels.height;
  const side = Math.max(pixels.width, pixels.height);
  const found: FoundShape[] = [];
  components.patches.forEach((patch, i) => {
    if (patch.area < smallest) return;
    const ink = readInk(pixels, components, patch, i + 1);
    const cover = coverage(pixels, components, patch, i + 1, ink.mean);
    const { shape, fit } = matchOutline(cover, shapes);
    found.push({
      shape: fit >= minFit ? shape : null,
      color: ink.purity >= minPurity ? ink.color : null,
      x: (cover.x + cover.left + 0.5) / side,
      y: (cover.y + cover.top + 0.5) / side,
      radius: Math.sqrt(cover.area / Math.PI) / side,
      fit,
      purity: ink.purity,
    });
  });
  return found;
}
