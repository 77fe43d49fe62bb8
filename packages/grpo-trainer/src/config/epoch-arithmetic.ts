/** How images, batches, devices and updates of an epoch divide one another. */
import type { BaseConfig } from './base';

/**
 * The recipe's arithmetic: an epoch of promptsPerEpoch · samplesPerPrompt images is cut into whole rollout batches,
 * each of which the devices share evenly, and several batches into updates of equally many (flow_grpo's
 * num_batches_per_epoch must be whole and, for its two updates, even).
 *
 * @returns a line for everything that does not divide, with numbers that would.
 */
export function epochProblems({ devices, sampling, training }: BaseConfig): string[] {
  const { promptsPerEpoch, samplesPerPrompt, batchSize } = sampling;
  const { updatesPerEpoch } = training;
  const images = promptsPerEpoch * samplesPerPrompt;
  const counted = `the ${images} images of an epoch (promptsPerEpoch ${promptsPerEpoch} · samplesPerPrompt ${samplesPerPrompt})`;
  const works = (size: number) => {
    const batches = images / size;
    return images % size === 0 && size % devices === 0 && (batches === 1 || batches % updatesPerEpoch === 0);
  };
  if (works(batchSize ?? images)) return [];
  const sizes = Array.from({ length: images }, (_, i) => i + 1).filter(works);
  const instead =
    sizes.length > 0
      ? `These would work: ${nearest(sizes, batchSize ?? images).join(', ')}`
      : `No batch size would; with ${devices} devices, promptsPerEpoch ${nearest(
          multiples(devices / gcd(devices, samplesPerPrompt), promptsPerEpoch),
          promptsPerEpoch,
        ).join(', ')} would`;
  if (batchSize === undefined) {
    return [`devices (${devices}) must divide ${counted}. ${instead}`];
  }
  const why =
    images % batchSize !== 0
      ? `must divide ${counted}: ${round(images / batchSize)} batches are not a whole number`
      : batchSize % devices !== 0
        ? `must be a multiple of devices (${devices})`
        : `makes ${images / batchSize} batches per epoch, which training.updatesPerEpoch (${updatesPerEpoch}) does not divide`;
  return [`sampling.batchSize (${batchSize}) ${why}. ${instead}`];
}

/** At most six numbers around `wanted`, in order. */
function nearest(numbers: readonly number[], wanted: number): number[] {
  return [...numbers]
    .sort((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted))
    .slice(0, 6)
    .sort((a, b) => a - b);
}

/** The multiples of `step` on both sides of `near`. */
function multiples(step: number, near: number): number[] {
  const below = Math.floor(near / step) * step;
  return [below, below + step].filter((value) => value > 0);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
const round = (value: number) => Math.round(value * 100) / 100;
