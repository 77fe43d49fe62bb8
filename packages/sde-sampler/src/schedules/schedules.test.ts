import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sd3, showo2, toDataTime } from '../conventions';
import {
  customSchedule,
  dynamicShift,
  fixedWindow,
  randomWindow,
  shiftedSchedule,
  slidingWindow,
  stepCoefficients,
  stepsOf,
  trainableSteps,
  uniformSchedule,
} from './index';

describe('schedules', () => {
  it('run from noise to data, with the ends exact', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.constantFrom(showo2, sd3),
        (steps, shift, convention) => {
          const { times } = shiftedSchedule(steps, shift, convention);
          expect(times[0]).toBe(convention.noiseTime);
          expect(times.at(-1)).toBe(convention.dataTime);
          const data = times.map((time) => toDataTime(time, convention));
          for (let i = 1; i < data.length; i++) expect(data[i]!).toBeGreaterThan(data[i - 1]!);
        },
      ),
    );
  });

  it("shift as Show-o2's and SD3's formulas do", () => {
    expect(shiftedSchedule(4, 3).times[2]).toBeCloseTo(0.5 / (0.5 + 3 - 1.5), 15);
    expect(shiftedSchedule(4, 3, sd3).times[1]).toBeCloseTo((3 * 0.75) / (1 + 2 * 0.75), 15);
    expect(uniformSchedule(4).times).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(dynamicShift(1024)).toBeCloseTo(Math.exp(0.5 + (0.65 * 768) / 3840), 12);
  });

  it.each([
    [() => uniformSchedule(0), /1 step or more/],
    [() => uniformSchedule(2.5), /1 step or more/],
    [() => shiftedSchedule(4, 0), /shift must be above 0/],
    [() => customSchedule([0.5]), /two times or more/],
    [() => customSchedule([0, 0.5, 0.5]), /index 2/],
    [() => customSchedule([0, 1], sd3), /run from 1 \(noise\) to 0/],
    [() => customSchedule([0, 1.2]), /not between 0 and 1/],
    [() => dynamicShift(-4), /imageTokens/],
  ])('refuse what is no schedule %#', (make, message) => {
    expect(make).toThrow(message);
  });
});

describe('the plan of a schedule', () => {
  const twelve = shiftedSchedule(12, 3);
  const ten = Array.from({ length: 10 }, (_, i) => i + 1);

  it('leaves 10 of 12 steps to train in the recipe, whichever way the ends are taken', () => {
    expect(trainableSteps(twelve)).toEqual(ten);
    expect(trainableSteps(twelve, { ends: 'floor' })).toEqual(ten);
    expect(trainableSteps(shiftedSchedule(12, 3, sd3))).toEqual(ten);
  });

  it('leaves none without noise, all but the last with CPS, all with Dance, and a window where there is one', () => {
    expect(trainableSteps(twelve, { rule: 'ode' })).toEqual([]);
    expect(trainableSteps(twelve, { noiseLevel: 0 })).toEqual([]);
    expect(trainableSteps(twelve, { rule: 'cps' })).toEqual([0, ...ten]);
    expect(trainableSteps(twelve, { rule: 'dance' })).toEqual([0, ...ten, 11]);
    expect(trainableSteps(twelve, { stochasticSteps: [2, 3] })).toEqual([2, 3]);
    expect(trainableSteps(twelve, { stochasticSteps: [0, 2, 3], ends: 'floor' })).toEqual([2, 3]);
    expect(trainableSteps(twelve, { stochasticSteps: [0, 2], rule: 'cps' })).toEqual([0, 2]);
    expect(trainableSteps(uniformSchedule(3), { noiseLevel: [0.5, 0.5, 0.5] })).toEqual([1]);
  });

  it('makes silent steps Euler steps', () => {
    const rows = stepCoefficients(twelve, { rule: 'cps', stochasticSteps: [4] });
    rows.forEach(({ xDrift, velocityDrift, std, dt }, i) => {
      if (i === 4) expect(std).toBeGreaterThan(0);
      else expect([xDrift, velocityDrift, std]).toEqual([0, dt, 0]);
    });
  });

  it('refuses steps and levels that do not fit', () => {
    expect(() => stepCoefficients(twelve, { stochasticSteps: [12] })).toThrow(/no step 12/);
    expect(() => stepCoefficients(twelve, { stochasticSteps: [0, 2] })).toThrow(/step 0 is an end .*'floor'/);
    expect(() => stepCoefficients(twelve, { stochasticSteps: [11] })).toThrow(/step 11 is an end/);
    expect(() => stepCoefficients(twelve, { noiseLevel: [0.7] })).toThrow(/1 noise levels for 12 steps/);
    expect(() => stepCoefficients(twelve, { ends: 'both' as 'ode' })).toThrow(/ends must be/);
  });
});

describe('windows', () => {
  it('fixed', () => {
    expect(fixedWindow(2, 3)).toEqual([2, 3, 4]);
    expect(() => fixedWindow(-1, 2)).toThrow(RangeError);
  });

  it('random: inside the range, every place reached, the same for the same seed and index', () => {
    const at = (index: number) => randomWindow({ size: 3, range: [1, 5], seed: 4, index });
    const starts = new Set<number>();
    for (let i = 0; i < 60; i++) {
      const window = at(i);
      expect(window).toEqual(at(i));
      expect(window).toHaveLength(3);
      expect(window[0]).toBeGreaterThanOrEqual(1);
      expect(window[2]).toBeLessThanOrEqual(5);
      starts.add(window[0]!);
    }
    expect([...starts].sort()).toEqual([1, 2, 3]);
    expect(() => randomWindow({ size: 6, range: [1, 5], seed: 0, index: 0 })).toThrow(/does not fit/);
  });

  it('sliding: moves every so many iterations, ends at the range, restarts or stays', () => {
    const options = { size: 2, range: [0, 5] as const, every: 3, stride: 3 };
    expect([0, 2, 3, 6, 9].map((i) => slidingWindow(options, i)[0])).toEqual([0, 0, 3, 4, 0]);
    expect(slidingWindow({ ...options, atEnd: 'stay' }, 30)).toEqual([4, 5]);
  });

  it('leave only their steps stochastic', () => {
    const window = fixedWindow(3, 2);
    const drawn = stepCoefficients(uniformSchedule(8), { stochasticSteps: window }).flatMap((row, i) =>
      row.std > 0 ? [i] : [],
    );
    expect(drawn).toEqual(window);
    expect(stepsOf(uniformSchedule(8))).toBe(8);
  });
});
