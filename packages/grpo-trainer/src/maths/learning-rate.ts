/** Learning rate as a function of the step. */

export interface LearningRateSchedule {
  /**
   * What follows the warm-up. 'linear' and 'cosine' fall to `floor` at `totalSteps`; 'inverseSqrt' falls as 1/√step from step
   * `decayFrom` on, whatever the length of the run.
   */
  readonly kind: 'constant' | 'linear' | 'cosine' | 'inverseSqrt';
  /** Steps of linear growth; step 0 already has peak / warmupSteps. */
  readonly warmupSteps: number;
  /** Where the decay ends; needed by 'linear' and 'cosine'. */
  readonly totalSteps?: number;
  /** The step whose rate is still the peak; for 'inverseSqrt'. At least 1; the end of the warm-up if that is later. */
  readonly decayFrom?: number;
  /** Share of the peak that is left at the end, 0 … 1; with 'inverseSqrt' the least share. */
  readonly floor?: number;
}

/**
 * The learning rate of update `step`, counted from 0.
 *
 * @throws when a decaying schedule has no `totalSteps`, or one that ends within the warm-up.
 */
export function learningRateAt(peak: number, step: number, schedule: LearningRateSchedule): number {
  const { kind, warmupSteps, totalSteps, decayFrom = 1, floor = 0 } = schedule;
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (kind === 'constant') return peak;
  if (kind === 'inverseSqrt') {
    const start = Math.max(1, decayFrom, warmupSteps);
    return peak * Math.max(floor, Math.min(1, Math.sqrt(start / (step + 1))));
  }
  if (totalSteps === undefined || totalSteps <= warmupSteps) {
    throw new Error(
      `learning rate schedule '${kind}' needs totalSteps above warmupSteps (${warmupSteps}), got ${totalSteps}`,
    );
  }
  const done = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  const left = kind === 'linear' ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return peak * (floor + (1 - floor) * left);
}
