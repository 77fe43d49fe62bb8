import type { Arithmetic } from './arithmetic';
import type { RuleInput, RuleOutput } from './rule';

/**
 * The Euler–Maruyama step of dx = (v + σ²/2·score)·dt + σ·dw with score = (t·v − x)/(1 − t), which has the
 * marginals of the ODE dx = v·dt for every σ.
 * @param rate σ²/(2(1 − t)), passed by itself because it stays finite where σ and 1 − t vanish together
 */
export function reverseSde<N>(
  a: Arithmetic<N>,
  { t, tNext }: RuleInput<N>,
  sigma: N,
  rate: N,
): RuleOutput<N> {
  const dt = a.sub(tNext, t);
  const push = a.mul(rate, dt);
  return {
    xCoefficient: a.sub(a.constant(0), push),
    velocityCoefficient: a.add(dt, a.mul(push, t)),
    std: a.mul(a.sqrt(dt), sigma),
  };
}
