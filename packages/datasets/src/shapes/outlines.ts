/**
 * Outlines as signed distances, every one scaled to the area of the unit circle (π), so that one size means
 * one amount of paint whatever the shape. y points down; shapes stand upright at rotation 0.
 */
export const SHAPES = ['circle', 'square', 'triangle', 'star', 'cross', 'ring'] as const;
export type Shape = (typeof SHAPES)[number];

/** The default shapes. */
export const DEFAULT_SHAPES: readonly Shape[] = ['circle', 'square', 'triangle', 'star'];

export interface Outline {
  /** Signed distance to the outline at (x, y): negative inside; exact along edges, a bound beyond corners. */
  distance: (x: number, y: number) => number;
  /** Radius of the smallest circle about the origin that holds the shape. */
  bound: number;
  /** Order of the rotational symmetry; 0 where every rotation looks the same. */
  fold: number;
}

const squareHalf = Math.sqrt(Math.PI) / 2;
const triangleInner = Math.sqrt(Math.PI / (3 * Math.sqrt(3)));

const STAR_DEPTH = 0.45; // inner radius over outer: sharp enough to tell from a pentagon at 12 pixels
const starSin = Math.sin(Math.PI / 5);
const starCos = Math.cos(Math.PI / 5);
const starOuter = Math.sqrt(Math.PI / (5 * STAR_DEPTH * starSin));
const starEdgeX = STAR_DEPTH * starOuter * starSin;
const starEdgeY = STAR_DEPTH * starOuter * starCos - starOuter;
const starEdge = Math.hypot(starEdgeX, starEdgeY);

const CROSS_ARM = 0.34; // half-width of an arm over its length
const crossLength = Math.sqrt(Math.PI / (4 * CROSS_ARM * (2 - CROSS_ARM)));
const crossWidth = CROSS_ARM * crossLength;

const RING_HOLE = 0.5; // inner radius over outer
const ringOuter = 1 / Math.sqrt(1 - RING_HOLE ** 2);
const ringMiddle = (ringOuter * (1 + RING_HOLE)) / 2;
const ringHalf = (ringOuter * (1 - RING_HOLE)) / 2;

export const OUTLINES: Readonly<Record<Shape, Outline>> = {
  circle: { distance: (x, y) => Math.sqrt(x * x + y * y) - 1, bound: 1, fold: 0 },
  square: {
    distance: (x, y) => Math.max(Math.abs(x), Math.abs(y)) - squareHalf,
    bound: squareHalf * Math.SQRT2,
    fold: 4,
  },
  triangle: {
    distance: (x, y) => Math.max(y, 0.8660254037844386 * Math.abs(x) - 0.5 * y) - triangleInner,
    bound: 2 * triangleInner,
    fold: 3,
  },
  star: { distance: starDistance, bound: starOuter, fold: 5 },
  cross: {
    distance: (x, y) => {
      const ax = Math.abs(x);
      const ay = Math.abs(y);
      return Math.min(
        Math.max(ax - crossLength, ay - crossWidth),
        Math.max(ax - crossWidth, ay - crossLength),
      );
    },
    bound: Math.hypot(crossLength, crossWidth),
    fold: 4,
  },
  ring: {
    distance: (x, y) => Math.abs(Math.sqrt(x * x + y * y) - ringMiddle) - ringHalf,
    bound: ringOuter,
    fold: 0,
  },
};

/** Folds the plane onto one tenth of the star, where the outline is a single line from tip to notch. */
function starDistance(px: number, py: number): number {
  let x = Math.abs(px);
  let y = -py;
  for (let turn = 0; turn < 2; turn++) {
    const beyond = x * starCos - y * starSin;
    if (beyond > 0) {
      x -= 2 * beyond * starCos;
      y += 2 * beyond * starSin;
    }
    x = Math.abs(x);
  }
  return ((y - starOuter) * starEdgeX - x * starEdgeY) / starEdge;
}
