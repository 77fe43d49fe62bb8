import { type Convention, convertTime, sd3Convention } from '../conventions';
import { checkSteps, customSchedule, type Schedule, shiftTime } from './schedule';

/** The line through (tokens, mu) that SD3 and Flux use; the defaults are Flux's scheduler config. */
export interface DynamicShiftOptions {
  baseTokens?: number;
  maxTokens?: number;
  baseShift?: number;
  maxShift?: number;
}

/**
 * The shift for a resolution: exp(mu), mu linear in the number of image tokens (in diffusers: 0.5 at 256 tokens,
 * 1.15 at 4096). Pass it to `shiftedSchedule`.
 * @param imageTokens of Flux and SD3.5: height/16 · width/16 pixels, as their VAE shrinks by 8 and patches by 2
 */
export function dynamicShift(imageTokens: number, options: DynamicShiftOptions = {}): number {
  const { baseTokens = 256, maxTokens = 4096, baseShift = 0.5, maxShift = 1.15 } = options;
  if (!(imageTokens > 0)) throw new RangeError(`imageTokens must be above 0, not ${imageTokens}`);
  const slope = (maxShift - baseShift) / (maxTokens - baseTokens);
  return Math.exp(baseShift + slope * (imageTokens - baseTokens));
}

/**
 * The grid of diffusers' FlowMatchEulerDiscreteScheduler with a fixed shift, which differs from
 * `shiftedSchedule`: equal steps from 1 to the already shifted smallest sigma, shifted again, then a last step
 * to 0. Needed only to reproduce numbers of SD3 pipelines.
 */
export function diffusersSchedule(
  steps: number,
  shift: number,
  { trainSteps = 1000, convention = sd3Convention }: { trainSteps?: number; convention?: Convention } = {},
): Schedule {
  checkSteps(steps);
  const shifted = (sigma: number) => 1 - shiftTime(1 - sigma, shift);
  const smallest = shifted(1 / trainSteps);
  const sigmas = Array.from({ length: steps }, (_, i) =>
    shifted(steps === 1 ? 1 : 1 + ((smallest - 1) * i) / (steps - 1)),
  );
  return customSchedule(
    [...sigmas, 0].map((sigma) => convertTime(sigma, sd3Convention, convention)),
    convention,
  );
}
