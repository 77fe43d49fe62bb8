import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sd3Convention, showo2Convention, toDataTime } from '../conventions';
import {
  customSchedule,
  dynamicShift,
  planSteps,
  type StepWindow,
  shiftedSchedule,
  stepsOf,
  trainableSteps,
  uniformSchedule,
  windowProblems,
  windowSteps,
} from './index';

describe('schedules', () => {
  it('run from noise to data, with the ends exact', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 60 }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.constantFrom(showo2Convention, sd3Convention),
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
    expect(shiftedSchedule(4, 3, sd3Convention).times[1]).toBeCloseTo((3 * 0.75) / (1 + 2 * 0.75), 15);
    expect(uniformSchedule(4).times).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(dynamicShift(1024)).toBeCloseTo(Math.exp(0.5 + (0.65 * 768) / 3840), 12);
  });

  it.each([
    [() => uniformSchedule(0), /1 step or more/],
    [() => uniformSchedule(2.5), /1 step or more/],
    [() => shiftedSchedule(4, 0), /shift must be above 0/],
    [() => customSchedule([0.5]), /two times or more/],
    [() => customSchedule([0, 0.5, 0.5]), /index 2/],
    [() => customSchedule([0, 1], sd3Convention), /run from 1 \(noise\) to 0/],
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
    expect(trainableSteps(shiftedSchedule(12, 3, sd3Convention))).toEqual(ten);
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
    const rows = planSteps(twelve, { rule: 'cps', stochasticSteps: [4] });
    rows.forEach(({ xCoefficient, velocityCoefficient, std, dt }, i) => {
      if (i === 4) expect(std).toBeGreaterThan(0);
      else expect([xCoefficient, velocityCoefficient, std]).toEqual([0, dt, 0]);
    });
  });

  it('refuses steps and levels that do not fit', () => {
    expect(() => planSteps(twelve, { stochasticSteps: [12] })).toThrow(/no step 12/);
    expect(() => planSteps(twelve, { stochasticSteps: [0, 2] })).toThrow(/step 0 is an end .*'floor'/);
    expect(() => planSteps(twelve, { stochasticSteps: [11] })).toThrow(/step 11 is an end/);
    expect(() => planSteps(twelve, { noiseLevel: [0.7] })).toThrow(/1 noise levels for 12 steps/);
    expect(() => planSteps(twelve, { ends: 'both' as 'ode' })).toThrow(/ends must be/);
  });
});

describe('windows', () => {
  it('fixed', () => {
    expect(windowSteps({ start: 2, end: 5 }, 12)).toEqual([2, 3, 4]);
    expect(windowSteps({}, 12)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(() => windowSteps({ start: -1, end: 1 }, 12)).toThrow(RangeError);
  });

  it('random: inside the range, every place reached, the same for the same seed and iteration', () => {
    const random: StepWindow = { kind: 'random', size: 3, start: 1, end: 6 };
    const at = (iteration: number) => windowSteps(random, 12, { iteration, seed: 4 });
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
    expect(() => windowSteps({ ...random, size: 6 }, 12)).toThrow(/larger than the range/);
  });

  it('sliding: moves every so many iterations, ends at the range, restarts or stays', () => {
    const window: StepWindow = { kind: 'sliding', size: 2, start: 0, end: 6, interval: 3, stride: 3 };
    const first = (iteration: number) => windowSteps(window, 8, { iteration })[0];
    expect([0, 2, 3, 6, 9].map(first)).toEqual([0, 0, 3, 4, 0]);
    expect(windowSteps({ ...window, atEnd: 'stay' }, 8, { iteration: 30 })).toEqual([4, 5]);
  });

  it('leave only their steps stochastic', () => {
    const window = windowSteps({ start: 3, end: 5 }, 8);
    const drawn = planSteps(uniformSchedule(8), { stochasticSteps: window }).flatMap((row, i) =>
      row.std > 0 ? [i] : [],
    );
    expect(drawn).toEqual(window);
    expect(stepsOf(uniformSchedule(8))).toBe(8);
  });
});

describe('the check of a window against a rule and a number of steps', () => {
  const check = { steps: 12 };
  it.each<[StepWindow, Parameters<typeof windowProblems>[1], RegExp[]]>([
    [{}, check, []],
    [{ start: 0 }, check, [/^window.start is 0, where the noise of an SDE step is infinite/]],
    [{ start: 0 }, { ...check, noiseLevel: 0 }, []],
    [{ start: 0 }, { ...check, rule: 'cps' }, []],
    [{ end: 12 }, check, []],
    [{ end: 12 }, { ...check, rule: 'cps' }, [/^window.end: the last CPS step has no noise/]],
    [{ end: 12 }, { ...check, rule: 'dance' }, []],
    [{ end: 13 }, check, [/^window: steps 1 … 12 do not lie in 0 … 11/]],
    [{ start: 5, end: 5 }, check, [/^window: steps 5 … 4 do not lie/]],
    [{ start: 1.5 }, check, [/^window: /]],
    [{}, { ...check, rule: 'cps', noiseLevel: 2 }, [/^noiseLevel must be at most 1 with CPS/]],
    [{}, { ...check, noiseLevel: 2 }, []],
    [{}, { ...check, rule: 'ode' }, [/^rule: ODE draws no noise/]],
    [{ size: 3 }, check, [/^window.size .* leave it out/]],
    [{ kind: 'random' }, check, [/^window.size is needed with kind random/]],
    [{ kind: 'sliding', size: 11 }, check, [/^window.size \(11\) is larger than the range 1 … 10/]],
    [{ kind: 'sliding', size: 0 }, check, [/^window.size must be 1 or more/]],
    [{ kind: 'sliding', size: 2, interval: 0 }, check, [/^window.interval and window.stride/]],
    [{ kind: 'random', size: 13, start: 0, end: 14 }, check, [/^window: /, /^window.start is 0/]],
  ])('%j with %j', (window, against, expected) => {
    const problems = windowProblems(window, against);
    expect(problems).toHaveLength(expected.length);
    for (const [i, problem] of problems.entries()) expect(problem).toMatch(expected[i]!);
  });

  it('passes nothing that cannot be planned, and every plan has noise where its window says', () => {
    const schedule = uniformSchedule(12);
    for (const rule of ['sde', 'cps', 'dance'] as const) {
      for (let start = 0; start < 12; start++) {
        for (let end = start + 1; end <= 12; end++) {
          if (windowProblems({ start, end }, { steps: 12, rule }).length > 0) continue;
          const stochasticSteps = windowSteps({ start, end }, 12);
          const plan = planSteps(schedule, { rule, stochasticSteps, ends: 'floor' });
          expect(plan.flatMap(({ std }, i) => (std > 0 ? [i] : []))).toEqual(stochasticSteps);
        }
      }
    }
  });
});
