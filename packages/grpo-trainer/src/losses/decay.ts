/** How the copies of the trained weights that an algorithm keeps (old, slow, fast, sampling) follow them. */

/**
 * The share of itself that a copy keeps when it is blended: `start` before `startStep`, then rising by `slope` with each
 * step to `end`. 0 copies the trained weights, 1 keeps the copy as it is.
 */
export interface DecaySchedule {
  readonly startStep: number;
  readonly start: number;
  readonly slope: number;
  readonly end: number;
}

/**
 * Schedules by upstream's names: DiffusionNFT's `decay_type` 0 to 2 (scripts/train_nft_sd3.py, `return_decay`), and those of
 * Flow-Factory (src/flow_factory/trainers/crd.py).
 */
const PRESETS: Readonly<Record<string, DecaySchedule>> = {
  0: { startStep: 0, start: 0, slope: 0, end: 0 },
  1: { startStep: 0, start: 0, slope: 0.001, end: 0.5 },
  2: { startStep: 75, start: 0, slope: 0.0075, end: 0.999 },
  3: { startStep: 0, start: 1, slope: 0, end: 1 },
  4: { startStep: 0, start: 0, slope: 0.02, end: 0.99 },
  5: { startStep: 0, start: 0, slope: 0.01, end: 0.5 },
  6: { startStep: 0, start: 0, slope: 0.0075, end: 0.999 },
};

/**
 * A schedule from its name: a preset ('0' to '6'), or 'startStep-start-slope-end', e.g. '75-0-0.0075-0.999'.
 *
 * @throws {Error} when it is neither, or a decay would leave 0..1.
 */
export function decaySchedule(name: string | number): DecaySchedule {
  const preset = PRESETS[String(name)];
  if (preset) return preset;
  const parts = String(name).split('-').map(Number);
  const [startStep, start, slope, end] = parts as [number, number, number, number];
  const share = (value: number) => value >= 0 && value <= 1;
  if (parts.length !== 4 || !(startStep >= 0) || !share(start) || !(slope >= 0) || !share(end)) {
    throw new Error(
      `decay ${JSON.stringify(name)} is neither one of ${Object.keys(PRESETS).join(', ')} nor startStep-start-slope-end, e.g. 75-0-0.0075-0.999`,
    );
  }
  return { startStep, start, slope, end };
}

/** A decay that rises by 0.001 with each step to `end`: AWM's slow weights (`kl_ema_decay`), DGPO's fast ones. */
export const linearDecay = (end: number): DecaySchedule => ({ startStep: 0, start: 0, slope: 0.001, end });

/** The same decay at every step. */
export const constantDecay = (decay: number): DecaySchedule => ({
  startStep: 0,
  start: decay,
  slope: 0,
  end: decay,
});

/** The decay at a number of optimizer steps. */
export function decayAt(step: number, { startStep, start, slope, end }: DecaySchedule): number {
  return step < startStep ? start : Math.min(start + (step - startStep) * slope, end);
}
