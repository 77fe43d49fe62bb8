import type { Arithmetic } from './arithmetic';

/** What a rule is told of a step, in data time (0 noise, 1 data; t < tNext). */
export interface RuleInput<N> {
  t: N;
  tNext: N;
  /** ≥ 0; 0 must give the Euler step of the ODE exactly. */
  noiseLevel: N;
  /** The smallest t that may stand in the denominator of σ; 0 leaves σ as it is. */
  sigmaFloor: N;
}

/**
 * The Gaussian of one step: next ~ N(x + xDrift·x + velocityDrift·v, std²). The drift is kept apart from x
 * because the residual of a step is accurate only when the small part is formed by itself.
 */
export interface RuleOutput<N> {
  xDrift: N;
  velocityDrift: N;
  std: N;
}

/** A step rule: how the coefficients of a step follow from its times and noise level. */
export type StepRule = <N>(a: Arithmetic<N>, input: RuleInput<N>) => RuleOutput<N>;
