import { type Convention, fromDataTime, showo2Convention, toDataTime } from '../conventions';

/** A grid of times from noise to data, in the model's convention; `times.length − 1` steps. */
export interface Schedule {
  readonly times: readonly number[];
  readonly convention: Convention;
}

/** The number of steps of a schedule. */
export const stepsOf = (schedule: Schedule): number => schedule.times.length - 1;

/**
 * A schedule of your own times. They may stop short of data or start after noise.
 * @throws RangeError unless there are two or more, inside the convention, running from noise towards data
 */
export function customSchedule(
  times: readonly number[],
  convention: Convention = showo2Convention,
): Schedule {
  if (times.length < 2) throw new RangeError(`a schedule needs two times or more, not ${times.length}`);
  const data = times.map((time) => toDataTime(time, convention));
  data.forEach((t, i) => {
    const { name, noiseTime, dataTime } = convention;
    if (!(t >= 0 && t <= 1)) {
      throw new RangeError(
        `time ${times[i]} (index ${i}) is not between ${noiseTime} and ${dataTime} (${name})`,
      );
    }
    if (i > 0 && !(t > data[i - 1]!)) {
      throw new RangeError(
        `times must run from ${noiseTime} (noise) to ${dataTime} (data); index ${i} does not`,
      );
    }
  });
  return { times: [...times], convention };
}

/** Equal steps from pure noise to data. */
export const uniformSchedule = (steps: number, convention: Convention = showo2Convention): Schedule =>
  shiftedSchedule(steps, 1, convention);

/**
 * Equal steps, then the time shift t' = t/(t + s − s·t), which for s > 1 spends more steps near noise; in SD3's
 * clock sigma' = s·sigma/(1 + (s − 1)·sigma). Show-o2, SD3 and Z-Image-Turbo use s = 3; the grid is that of Z-Image's
 * pipeline too.
 */
export function shiftedSchedule(
  steps: number,
  shift: number,
  convention: Convention = showo2Convention,
): Schedule {
  checkSteps(steps);
  const times = Array.from({ length: steps + 1 }, (_, i) =>
    fromDataTime(shiftTime(i / steps, shift), convention),
  );
  return customSchedule(times, convention);
}

/** t/(t + s − s·t) of a data time, s > 0; written so that 1 stays exactly 1. */
export function shiftTime(t: number, shift: number): number {
  if (!(shift > 0)) throw new RangeError(`the shift must be above 0, not ${shift}`);
  return t / (t + shift * (1 - t));
}

export function checkSteps(steps: number): void {
  if (!Number.isInteger(steps) || steps < 1)
    throw new RangeError(`a schedule needs 1 step or more, not ${steps}`);
}
