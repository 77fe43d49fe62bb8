import { describe, expect, it } from 'vitest';
import { OUTLINES, SHAPES } from './outlines';

describe.each(SHAPES)('%s', (name) => {
  const { distance, bound, fold } = OUTLINES[name];
  const grid = 401;
  const at = (i: number) => ((i + 0.5) / grid - 0.5) * 4;

  it('has the area of the unit circle, its centroid at the origin, and lies within its bound', () => {
    let area = 0;
    let x = 0;
    let y = 0;
    let farthest = 0;
    for (let i = 0; i < grid; i++) {
      for (let j = 0; j < grid; j++) {
        if (distance(at(i), at(j)) >= 0) continue;
        area++;
        x += at(i);
        y += at(j);
        farthest = Math.max(farthest, Math.hypot(at(i), at(j)));
      }
    }
    expect(area * (4 / grid) ** 2).toBeCloseTo(Math.PI, 1);
    expect(Math.hypot(x, y) / area).toBeLessThan(0.01);
    expect(farthest).toBeLessThanOrEqual(bound);
    expect(farthest).toBeGreaterThan(bound - 0.05);
  });

  it('repeats under its rotation and never grows faster than distance', () => {
    const turn = fold === 0 ? 0.7 : (2 * Math.PI) / fold;
    for (let i = 0; i < 200; i++) {
      const [x, y] = [2 * Math.sin(3.1 * i), 2 * Math.cos(1.7 * i)];
      const turned = distance(
        x * Math.cos(turn) - y * Math.sin(turn),
        x * Math.sin(turn) + y * Math.cos(turn),
      );
      expect(turned).toBeCloseTo(distance(x, y), 6);
      expect(Math.abs(distance(x + 0.01, y) - distance(x, y))).toBeLessThan(0.010001);
    }
  });
});
