import { below, randomAt, shuffle } from '../random';

export interface KRepeatOptions {
  /** Number of prompts to choose from. */
  datasetSize: number;
  /** Indices each replica gets in one batch. */
  batchSize: number;
  /** How often each chosen prompt occurs over all replicas. */
  k: number;
  /** Default 1. */
  numReplicas?: number;
  /** This replica, from 0; default 0. */
  rank?: number;
  /** Default 0. As in flow_grpo it is added to the epoch: (seed 1, epoch 2) equals (seed 2, epoch 1). */
  seed?: number;
}

/** Plain data to store in a checkpoint. */
export interface KRepeatState {
  epoch: number;
  datasetSize: number;
  batchSize: number;
  k: number;
  numReplicas: number;
  seed: number;
}

/**
 * Distributed k-repeat sampling with the invariants of flow_grpo's sampler: in a batch over all replicas,
 * numReplicas · batchSize / k distinct prompts occur, each exactly k times, in one shuffled list of which
 * every replica takes its slice. The batch is a function of seed + epoch and the sizes; its order is this
 * package's own, not PyTorch's.
 *
 * flow_grpo sets the epoch before every batch (epoch · batchesPerEpoch + i); here `next()` does that
 * counting, and `state()` / `restore()` continue in the middle of an epoch.
 */
export class KRepeatSampler {
  readonly rank: number;
  /** Distinct prompts in a batch over all replicas. */
  readonly promptsPerBatch: number;
  private readonly sizes: Omit<KRepeatState, 'epoch'>;
  private epoch = 0;

  /** @throws RangeError when the sizes do not make whole groups; the message names sizes that do. */
  constructor(options: KRepeatOptions) {
    const { datasetSize, batchSize, k, numReplicas = 1, rank = 0, seed = 0 } = options;
    requirePositive({ datasetSize, batchSize, k, numReplicas });
    if (!Number.isInteger(rank) || rank < 0 || rank >= numReplicas) {
      throw new RangeError(`KRepeatSampler: rank must lie in 0 … ${numReplicas - 1}, not ${rank}`);
    }
    requireFromZero('seed', seed);
    const total = numReplicas * batchSize;
    if (total % k !== 0) {
      throw new RangeError(
        `KRepeatSampler: k ${k} does not divide ${numReplicas} replicas × batch ${batchSize} = ${total}; ` +
          `batchSize ${groupBatchSizes(numReplicas, k, batchSize).join(', ')} would work`,
      );
    }
    this.promptsPerBatch = total / k;
    if (this.promptsPerBatch > datasetSize) {
      throw new RangeError(
        `KRepeatSampler: a batch needs ${this.promptsPerBatch} different prompts and the set has ${datasetSize}; ` +
          `use k of at least ${Math.ceil(total / datasetSize)} or a smaller batch`,
      );
    }
    this.rank = rank;
    this.sizes = { datasetSize, batchSize, k, numReplicas, seed };
  }

  /** The indices of all replicas, one after the other: [numReplicas · batchSize]. */
  globalBatch(epoch: number): number[] {
    requireFromZero('epoch', epoch);
    const { datasetSize, k, seed } = this.sizes;
    const random = randomAt(seed + epoch);
    const chosen = chooseDistinct(random, datasetSize, this.promptsPerBatch);
    return shuffle(
      random,
      chosen.flatMap((index) => new Array<number>(k).fill(index)),
    );
  }

  /** This replica's indices: [batchSize]. */
  batch(epoch: number): number[] {
    const { batchSize } = this.sizes;
    return this.globalBatch(epoch).slice(this.rank * batchSize, (this.rank + 1) * batchSize);
  }

  /** Where `next()` goes on. */
  setEpoch(epoch: number): void {
    requireFromZero('epoch', epoch);
    this.epoch = epoch;
  }

  /** This replica's next batch; never ends. */
  next(): number[] {
    return this.batch(this.epoch++);
  }

  state(): KRepeatState {
    return { epoch: this.epoch, ...this.sizes };
  }

  /** @throws when the state was stored with other sizes or another seed, naming the first that differs. */
  restore(state: KRepeatState): void {
    for (const name of Object.keys(this.sizes) as (keyof Omit<KRepeatState, 'epoch'>)[]) {
      if (state[name] !== this.sizes[name]) {
        throw new Error(
          `KRepeatSampler: the stored state has ${name} ${state[name]}, this sampler ${this.sizes[name]}; ` +
            'resume with the same sizes, or call setEpoch to start afresh from an epoch',
        );
      }
    }
    this.setEpoch(state.epoch);
  }
}

/** `count` different numbers below `size`, each choice and order alike; memory grows with count, not size. */
function chooseDistinct(random: () => number, size: number, count: number): number[] {
  const moved = new Map<number, number>(); // a Fisher–Yates shuffle that stores only the entries it touched
  return Array.from({ length: count }, (_, i) => {
    const j = i + below(random, size - i);
    const taken = moved.get(j) ?? j;
    moved.set(j, moved.get(i) ?? i);
    return taken;
  });
}

/** Batch sizes that make whole groups: `numReplicas · batch` a multiple of k. */
function groupBatchSizes(numReplicas: number, k: number, near: number): number[] {
  const step = k / gcd(numReplicas, k);
  const around = Math.max(1, Math.round(near / step));
  return [around - 1, around, around + 1].filter((n) => n > 0).map((n) => n * step);
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

function requirePositive(values: Record<string, number>): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`KRepeatSampler: ${name} must be a whole number from 1, not ${value}`);
    }
  }
}

function requireFromZero(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`KRepeatSampler: ${name} must be a whole number from 0, not ${value}`);
  }
}
