import type { StepRule } from './rule';

/** The Euler step of the probability-flow ODE; the noise level is ignored. */
export const ode: StepRule = {
  name: 'ODE',
  density: null,
  gaussian: (a, { t, tNext }) => ({
    xCoefficient: a.constant(0),
    velocityCoefficient: a.sub(tNext, t),
    std: a.constant(0),
  }),
};
