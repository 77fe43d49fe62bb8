/** Colour names and their paint in [0, 1], far enough apart on light paper to survive a small autoencoder. */
export const PALETTE = {
  red: [0.86, 0.12, 0.14],
  orange: [0.98, 0.52, 0.08],
  yellow: [0.97, 0.83, 0.12],
  green: [0.16, 0.62, 0.25],
  blue: [0.13, 0.36, 0.85],
  purple: [0.5, 0.2, 0.66],
  pink: [0.97, 0.45, 0.72],
  black: [0.1, 0.1, 0.12],
} as const satisfies Record<string, readonly [number, number, number]>;

export type ColorName = keyof typeof PALETTE;
export const COLORS = Object.keys(PALETTE) as ColorName[];
