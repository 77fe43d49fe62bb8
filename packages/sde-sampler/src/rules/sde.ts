import { reverseSde } from './reverse-sde';
import type { StepRule } from './rule';

/**
 * Flow-GRPO's SDE (arXiv 2505.05470, eq. 9): σ_t = α·sqrt((1 − t)/t). With `sigmaFloor` the t under the root's
 * bar is at least that, as flow_grpo does for the step from pure noise.
 */
export const sde: StepRule = {
  name: 'SDE',
  density: 'gaussian',
  singularAtNoise: true,
  gaussian: (a, input) => {
    const { t, noiseLevel } = input;
    const zero = a.constant(0);
    const floored = a.max(t, input.sigmaFloor);
    const sigma = a.mul(noiseLevel, a.sqrt(a.div(a.sub(a.constant(1), t), floored)));
    const rate = a.div(a.mul(noiseLevel, noiseLevel), a.mul(a.constant(2), floored));
    return reverseSde(a, input, a.ifPositive(noiseLevel, sigma, zero), a.ifPositive(noiseLevel, rate, zero));
  },
};
