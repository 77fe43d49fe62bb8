/** Where reward is: values on a grid over the plane, painted by the reader. */
import { EXTENT } from './plane';

/** Cells along a side. */
export const CELLS = 60;

/** Rewards in [−1, 1] by row from the top. */
export type RewardMap = Float32Array;

export const emptyMap = (): RewardMap => new Float32Array(CELLS * CELLS);

/** The reward at a point of the plane; 0 outside. */
export function rewardAt(map: RewardMap, x: number, y: number): number {
  const column = Math.floor(((x + EXTENT) / (2 * EXTENT)) * CELLS);
  const row = Math.floor(((EXTENT - y) / (2 * EXTENT)) * CELLS);
  const inside = column >= 0 && column < CELLS && row >= 0 && row < CELLS;
  return inside ? map[row * CELLS + column]! : 0;
}

/** Adds a soft disc of `amount` around a point; values stay in [−1, 1]. */
export function paint(map: RewardMap, x: number, y: number, radius: number, amount: number): void {
  for (let row = 0; row < CELLS; row++) {
    for (let column = 0; column < CELLS; column++) {
      const [cx, cy] = centreOf(column, row);
      const distance = Math.hypot(cx - x, cy - y);
      if (distance >= radius) continue;
      const at = row * CELLS + column;
      const value = map[at]! + amount * (1 - (distance / radius) ** 2);
      map[at] = Math.max(-1, Math.min(1, value));
    }
  }
}

export const presets: Readonly<Record<string, (x: number, y: number) => number>> = {
  right: (x) => 1 / (1 + Math.exp(-4 * x)),
  'one spot': (x, y) => Math.exp(-((x - 1.05) ** 2 + (y - 1.05) ** 2) / 0.3),
  'two spots': (x, y) =>
    Math.exp(-((x - 1.5) ** 2 + y ** 2) / 0.3) + Math.exp(-((x + 1.5) ** 2 + y ** 2) / 0.3),
  'anything but the top': (_, y) => -1 / (1 + Math.exp(-6 * (y - 0.6))),
};

/** The map of a function of the plane. */
export function mapOf(reward: (x: number, y: number) => number): RewardMap {
  return Float32Array.from({ length: CELLS * CELLS }, (_, i) =>
    reward(...centreOf(i % CELLS, Math.floor(i / CELLS))),
  );
}

function centreOf(column: number, row: number): [number, number] {
  const cell = (2 * EXTENT) / CELLS;
  return [-EXTENT + (column + 0.5) * cell, EXTENT - (row + 0.5) * cell];
}
