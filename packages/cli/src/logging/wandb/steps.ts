/** Which step of the server an epoch is: the server takes steps that grow, and a run may come to an epoch again. */

/** From `epoch` on, epochs are the steps from `step` on. */
export interface StepShift {
  readonly epoch: number;
  readonly step: number;
}

/** The step of an epoch; the epoch itself as long as nothing shifted it. */
export function stepOf(shifts: readonly StepShift[], epoch: number): number {
  const last = shifts.filter((shift) => shift.epoch <= epoch).at(-1);
  return last ? last.step + epoch - last.epoch : epoch;
}

/** The same shifts for earlier epochs, and `epoch` at `step`. */
export function shifted(shifts: readonly StepShift[], epoch: number, step: number): StepShift[] {
  return [...shifts.filter((shift) => shift.epoch < epoch), { epoch, step }];
}
