import { reverseSde } from './reverse-sde';
import type { StepRule } from './rule';

/**
 * DanceGRPO's SDE (arXiv 2505.07818): σ is the noise level itself, constant in time. Nothing is singular at
 * pure noise; the last step leaves its noise in the sample.
 */
export const dance: StepRule = {
  name: 'DanceGRPO',
  density: 'gaussian',
  gaussian: (a, input) => {
    const { t, noiseLevel } = input;
    const rate = a.div(a.mul(noiseLevel, noiseLevel), a.mul(a.constant(2), a.sub(a.constant(1), t)));
    return reverseSde(a, input, noiseLevel, rate);
  },
};
