export interface EpochSize {
  /** Processes (or devices) that each hold a batch. */
  numReplicas: number;
  /** Images a replica makes at once. */
  batchSize: number;
  /** Images of each prompt: the size of a group. */
  k: number;
  /** Distinct prompts an epoch; default 16, the paper's small recipe. */
  promptsPerEpoch?: number;
}

export interface EpochPlan {
  /** Distinct prompts in one sampling step over all replicas. */
  promptsPerBatch: number;
  /** Sampling steps an epoch: flow_grpo's `num_batches_per_epoch`. */
  batchesPerEpoch: number;
  /** Batches whose gradients are summed: half an epoch, for two updates an epoch as in flow_grpo. */
  gradientAccumulationSteps: number;
  imagesPerEpoch: number;
}

/**
 * flow_grpo's epoch arithmetic: num_batches_per_epoch = prompts / (replicas · batch / k), which must be a
 * whole even number because an epoch makes two updates.
 *
 * @throws with the batch sizes and the prompt counts that would work
 */
export function planEpoch(size: EpochSize): EpochPlan {
  const { numReplicas, batchSize, k, promptsPerEpoch = 16 } = size;
  requirePositive('planEpoch', { numReplicas, batchSize, k, promptsPerEpoch });
  const images = numReplicas * batchSize;
  const batches = (promptsPerEpoch * k) / images;
  if (images % k !== 0 || batches % 2 !== 0) {
    const given = `${numReplicas} replicas × batch ${batchSize} / k ${k}`;
    const why =
      images % k !== 0
        ? `${given} is not a whole number of prompts`
        : `${promptsPerEpoch} prompts / (${given}) = ${round(batches)} batches an epoch, not a whole even number`;
    throw new RangeError(`planEpoch: ${why}. ${suggest(numReplicas, batchSize, k, promptsPerEpoch)}`);
  }
  return {
    promptsPerBatch: images / k,
    batchesPerEpoch: batches,
    gradientAccumulationSteps: batches / 2,
    imagesPerEpoch: promptsPerEpoch * k,
  };
}

/** Batch sizes that make whole groups: `numReplicas · batch` a multiple of k. */
export function groupBatchSizes(numReplicas: number, k: number, near: number): number[] {
  const step = k / gcd(numReplicas, k);
  const around = Math.max(1, Math.round(near / step));
  return [around - 1, around, around + 1].filter((n) => n > 0).map((n) => n * step);
}

/** What to change: the batch size alone, the prompts alone, or where neither helps, both. */
function suggest(numReplicas: number, batchSize: number, k: number, prompts: number): string {
  const works = (batch: number) =>
    (numReplicas * batch) % k === 0 && ((prompts * k) / (numReplicas * batch)) % 2 === 0;
  const largest = Math.floor((prompts * k) / (2 * numReplicas));
  const batches = Array.from({ length: largest }, (_, i) => i + 1).filter(works);
  /** The numbers of prompts nearest to those asked for that make a whole even number of batches. */
  const promptCounts = (batch: number) => {
    const step = (2 * numReplicas * batch) / k;
    const below = Math.floor(prompts / step) * step;
    return [below, below + step].filter((n) => n > 0).join(', ');
  };
  const parts: string[] = [];
  if (batches.length > 0) parts.push(`batchSize ${batches.join(', ')}`);
  if ((numReplicas * batchSize) % k === 0) parts.push(`promptsPerEpoch ${promptCounts(batchSize)}`);
  if (parts.length === 0) {
    for (const batch of groupBatchSizes(numReplicas, k, batchSize)) {
      parts.push(`batchSize ${batch} with promptsPerEpoch ${promptCounts(batch)}`);
    }
  }
  return `These would work: ${parts.join('; or ')}`;
}

export function requirePositive(where: string, values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`${where}: ${name} must be a whole number from 1, not ${value}`);
    }
  }
}

const round = (value: number) => Math.round(value * 1000) / 1000;
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
