import type { StepRule } from './rule';

/** The Euler step of the probability-flow ODE; the noise level is not looked at. */
export const ode: StepRule = (a, { t, tNext }) => ({
  xDrift: a.constant(0),
  velocityDrift: a.sub(tNext, t),
  std: a.constant(0),
});
