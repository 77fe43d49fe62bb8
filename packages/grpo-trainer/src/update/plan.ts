/** Which images meet in which gradient pass of which update. */
import { shuffled } from '../random';

/** One gradient pass: as many rows as every other; `weight` 0 marks padding and dropped images. */
export interface PlannedPass {
  readonly samples: readonly number[];
  readonly weights: readonly number[];
}

export interface PlanOptions {
  readonly updates: number;
  /** Rows per pass, constant so that one executable serves all: those of all members of its units together. */
  readonly rows: number;
  /** Each of so many devices has whole units: its rows follow those of the device before it. */
  readonly devices?: number;
  /** Images without a reward, which units may hold all the same. */
  readonly dropped?: ArrayLike<boolean>;
}

/**
 * Shuffles units of images that stay together, deals them to the updates as evenly as possible, and cuts each update into
 * passes. The weights of an update sum to 1, so its gradient is the mean over its images. Returns fewer updates when there
 * are not enough units.
 *
 * @param units of equally many images each
 */
export function planUpdates(
  units: readonly (readonly number[])[],
  random: () => number,
  { updates, rows, devices = 1, dropped }: PlanOptions,
): PlannedPass[][] {
  const order = shuffled(random, units);
  const size = order[0]?.length ?? 1;
  const planned: PlannedPass[][] = [];
  for (let u = 0; u < updates; u++) {
    const from = Math.floor((u * order.length) / updates);
    const to = Math.floor(((u + 1) * order.length) / updates);
    if (from === to) continue;
    const images = order.slice(from, to).flat();
    const weight = 1 / images.filter((i) => !dropped?.[i]).length;
    const passes: PlannedPass[] = [];
    const perPass = Math.max(1, Math.floor(rows / size));
    for (let start = from; start < to; start += perPass) {
      const group = order.slice(start, Math.min(to, start + perPass));
      const padded = Array.from({ length: perPass }, (_, i) => group[i] ?? group[0]!);
      // Member by member: all first images of a device's units, then all second ones.
      const each = perPass / devices;
      const members = Array.from({ length: devices * size }, (_, part) => {
        const [device, member] = [Math.floor(part / size), part % size];
        return padded.slice(device * each, (device + 1) * each).map((unit, i) => {
          const sample = unit[member]!;
          const isReal = device * each + i < group.length;
          return { sample, weight: isReal && !dropped?.[sample] ? weight : 0 };
        });
      }).flat();
      passes.push({
        samples: members.map(({ sample }) => sample),
        weights: members.map(({ weight: own }) => own),
      });
    }
    planned.push(passes);
  }
  return planned;
}
