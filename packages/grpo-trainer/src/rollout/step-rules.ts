/**
 * One denoising step as numbers: every rule here is mean = xCoefficient·x + vCoefficient·v, then
 * x_next = mean + std·noise. Coefficients are host doubles, computed once a schedule; compiled rollouts and
 * updates take them as tensors, so one executable serves every window and noise level.
 */

/** The rules of stochastic steps. */
export type StepRuleName = 'sde' | 'cps';

/** A step from `t` to `tNext`, 0 = noise, 1 = data. */
export interface Step {
  readonly t: number;
  readonly tNext: number;
  readonly xCoefficient: number;
  readonly vCoefficient: number;
  /** Standard deviation of x_next around its mean; 0 for a deterministic step. */
  readonly std: number;
  /** log p = logProbOffset − logProbScale·mean((x_next − mean)²); both 0 for a deterministic step. */
  readonly logProbScale: number;
  readonly logProbOffset: number;
  /** σ_t, what flow_grpo calls std_dev_t, without √dt; 0 for a deterministic step. */
  readonly sigma: number;
}

/** t' = t / (t + s − s·t) on `steps` + 1 equally spaced points: shift s > 1 spends more steps near the noise. */
export function timeGrid(steps: number, shift: number): number[] {
  if (!Number.isInteger(steps) || steps < 1)
    throw new Error(`numSteps must be a positive integer, not ${steps}`);
  if (!(shift > 0)) throw new Error(`shift must be positive, not ${shift}`);
  return Array.from({ length: steps + 1 }, (_, i) => {
    const t = i / steps;
    return t / (t + shift - shift * t);
  });
}

/** Euler's step of dx/dt = v. */
export function odeStep(t: number, tNext: number): Step {
  const none = { std: 0, logProbScale: 0, logProbOffset: 0, sigma: 0 };
  return { t, tNext, xCoefficient: 1, vCoefficient: tNext - t, ...none };
}

/**
 * Euler–Maruyama step of the SDE with the ODE's marginals, σ_t = noiseLevel·√((1 − t)/t).
 *
 * Source: Flow-GRPO (arXiv 2505.05470, eq. 9) with t = 1 − σ; flow_grpo's `sde_step_with_logprob`.
 *
 * @throws at t = 0, where σ_t is infinite: leave the first step deterministic.
 */
export function sdeStep(t: number, tNext: number, noiseLevel: number): Step {
  if (noiseLevel === 0) return odeStep(t, tNext);
  if (!(t > 0)) {
    throw new Error(
      'an SDE step cannot start at t = 0, where its noise is infinite: start the window at step 1',
    );
  }
  const dt = tNext - t;
  const sigma = noiseLevel * Math.sqrt((1 - t) / t);
  const drift = (noiseLevel * noiseLevel) / (2 * t); // σ² / (2(1 − t)), without its singularity at t = 1
  const std = Math.sqrt(dt) * sigma;
  return {
    t,
    tNext,
    xCoefficient: 1 - drift * dt,
    vCoefficient: (1 + drift * t) * dt,
    std,
    logProbScale: 1 / (2 * std * std),
    logProbOffset: -Math.log(std) - 0.5 * Math.log(2 * Math.PI),
    sigma,
  };
}

/**
 * Coefficient-preserving sampling: predicted data and noise are recombined so that the total noise of x_next is
 * exactly 1 − t_next, a share sin(noiseLevel·π/2) of it fresh. The log-probability has no variance term.
 *
 * Source: Flow-CPS (arXiv 2509.05952); flow_grpo's `sde_type = 'cps'`.
 */
export function cpsStep(t: number, tNext: number, noiseLevel: number): Step {
  if (noiseLevel === 0) return odeStep(t, tNext);
  if (!(noiseLevel > 0 && noiseLevel <= 1))
    throw new Error(`CPS needs a noiseLevel in (0, 1], not ${noiseLevel}`);
  const angle = (noiseLevel * Math.PI) / 2;
  const std = (1 - tNext) * Math.sin(angle);
  const kept = (1 - tNext) * Math.cos(angle);
  // data = x + (1 − t)·v, noise = x − t·v; mean = t_next·data + kept·noise
  return {
    t,
    tNext,
    xCoefficient: tNext + kept,
    vCoefficient: tNext * (1 - t) - kept * t,
    std,
    logProbScale: 1,
    logProbOffset: 0,
    sigma: std / Math.sqrt(tNext - t),
  };
}

const RULES = { sde: sdeStep, cps: cpsStep };

/** The steps of a grid: `rule` with `noiseLevel` where `isStochastic`, Euler's elsewhere. */
export function planSteps(
  grid: readonly number[],
  rule: StepRuleName,
  noiseLevel: number,
  isStochastic: (step: number) => boolean,
): Step[] {
  return Array.from({ length: grid.length - 1 }, (_, i) =>
    isStochastic(i) ? RULES[rule](grid[i]!, grid[i + 1]!, noiseLevel) : odeStep(grid[i]!, grid[i + 1]!),
  );
}
