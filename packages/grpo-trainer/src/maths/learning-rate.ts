/** Learning rate as a function of the step. */

export interface LearningRateSchedule {
  /** What follows the warm-up. 'linear' and 'cosine' fall to `floor` at `totalSteps`. */
  readonly kind: 'constant' | 'linear' | 'cosine';
  /** Steps of linear growth; step 0 already has peak / warmupSteps. */
  readonly warmupSteps: number;
  /** Where the decay ends; needed by 'linear' and 'cosine'. */
  readonly totalSteps?: number;
  /** Share of the peak that is left at the end, 0 … 1. */
  readonly floor?: number;
}

/**
 * The learning rate of update `step`, counted from 0.
 *
 * @throws when a decaying schedule has no `totalSteps`, or one that ends within the warm-up.
 */
export function learningRateAt(peak: number, step: number, schedule: LearningRateSchedule): number {
  const { kind, warmupSteps, totalSteps, floor = 0 } = schedule;
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (kind === 'constant') return peak;
  if (totalSteps === undefined || totalSteps <= warmupSteps) {
    throw new Error(
      `learning rate schedule '${kind}' needs totalSteps above warmupSteps (${warmupSteps}), got ${totalSteps}`,
    );
  }
  const done = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  const left = kind === 'linear' ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return peak * (floor + (1 - floor) * left);
}
