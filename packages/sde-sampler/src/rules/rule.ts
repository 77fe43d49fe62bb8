import type { Arithmetic } from './arithmetic';

/** What a rule knows of a step, in data time (0 noise, 1 data; t < tNext). */
export interface RuleInput<N> {
  t: N;
  tNext: N;
  /** ≥ 0; 0 must give the Euler step of the ODE exactly. */
  noiseLevel: N;
  /** The smallest t that may stand in the denominator of σ; 0 leaves σ as it is. */
  sigmaFloor: N;
}

/**
 * The Gaussian of one step: next ~ N(x + xCoefficient·x + velocityCoefficient·v, std²). The change of x is kept apart
 * from x because the residual of a step is accurate only when the small part is formed by itself.
 */
export interface RuleOutput<N> {
  xCoefficient: N;
  velocityCoefficient: N;
  std: N;
}

/**
 * What the log-probability of a step is. 'gaussian' is log N(next; mean, std²); 'unnormalized' is
 * −(next − mean)², what Flow-CPS publishes: it drops the constants and the 1/(2·std²), so steps weigh equally.
 * Both are averaged over all but the batch axis.
 */
export type Density = 'gaussian' | 'unnormalized';

/** A step rule: how the coefficients of a step follow from its times and noise level, and all that is particular to it. */
export interface StepRule {
  /** Shown in messages, e.g. 'SDE'. */
  readonly name: string;
  /** The Gaussian of a step; one formula for host numbers and for tensors. */
  readonly gaussian: <N>(a: Arithmetic<N>, input: RuleInput<N>) => RuleOutput<N>;
  /** The default density of its log-probabilities; null if it never draws noise. */
  readonly density: Density | null;
  /** The largest meaningful noise level. Default: no limit. */
  readonly maxNoiseLevel?: number;
  /**
   * Where the first step's noise is infinite (at pure noise, without a floor under σ). A plan then takes the schedule's two
   * ends without noise unless told otherwise (`ends`), and neither trains. Default false.
   */
  readonly singularAtNoise?: boolean;
  /** Whether the step that ends at data draws nothing. Default false. */
  readonly silentAtData?: boolean;
}
