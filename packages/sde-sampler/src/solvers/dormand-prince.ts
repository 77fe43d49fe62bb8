/** The Butcher tableau of Dormand–Prince 5(4); the seventh slope is the next step's first. */

/** Times of slopes 2 … 6 as fractions of the step. */
export const nodes = [1 / 5, 3 / 10, 4 / 5, 8 / 9, 1];

/** Weights of the slopes so far for slopes 2 … 6. */
export const stages: readonly (readonly number[])[] = [
  [1 / 5],
  [3 / 40, 9 / 40],
  [44 / 45, -56 / 15, 32 / 9],
  [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
  [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
];

/** The fifth-order solution. */
export const weights = [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84];

/** Fifth order minus fourth, over all seven slopes. */
export const errorWeights = [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40];
