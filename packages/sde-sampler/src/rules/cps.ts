import type { StepRule } from './rule';

/**
 * Coefficient-preserving sampling (Flow-CPS, arXiv 2509.05952): the step rebuilds
 * x' = t'·data + (1 − t')·(cos θ·noise + sin θ·w) with θ = noiseLevel·π/2, so the noise in x' always has the
 * size its time says and none is left at the end. data = x + (1 − t)·v and noise = x − t·v are the model's.
 *
 * The size of the noise is kept, the distribution not quite: data is the model's mean, which varies less than data
 * does, and a share of the noise that depends on θ alone is new in every step. So however many steps there are,
 * samples vary too little: on Gaussian data of width 0.35 by 6 % of the variance at level 0.3, 28 % at 0.7.
 *
 * Written as a change of the Euler step, which it equals at θ = 0; 1 − cos θ = 2·sin²(θ/2).
 */
export const cps: StepRule = {
  name: 'CPS',
  density: 'unnormalized',
  maxNoiseLevel: 1,
  silentAtData: true,
  gaussian: (a, { t, tNext, noiseLevel }) => {
    const half = a.sin(a.mul(noiseLevel, a.constant(Math.PI / 4)));
    const noiseLeft = a.sub(a.constant(1), tNext);
    const lost = a.mul(noiseLeft, a.mul(a.constant(2), a.mul(half, half)));
    return {
      xCoefficient: a.sub(a.constant(0), lost),
      velocityCoefficient: a.add(a.sub(tNext, t), a.mul(t, lost)),
      std: a.mul(noiseLeft, a.sin(a.mul(noiseLevel, a.constant(Math.PI / 2)))),
    };
  },
};
