/** Whether a process's memory is flat over its run. */

/** Of one look, after a collection of the whole heap. */
export interface Memory {
  /** Resident bytes of the process. */
  readonly resident: number;
  /** Bytes that JavaScript reaches: objects, and the memory outside of the heap that they own. */
  readonly heap: number;
  /** Tensors of tfjs. */
  readonly tensors: number;
}

/** The median of a run's second quarter, when all is compiled and caches are full, and of its last. */
export interface MemorySeries {
  readonly early: Memory;
  readonly late: Memory;
  readonly text: string;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

export function memorySeries(looks: readonly Memory[]): MemorySeries {
  const median = (from: number, to: number, key: keyof Memory) => {
    const part = looks.slice(Math.floor(from * looks.length), Math.ceil(to * looks.length));
    const sorted = part.map((look) => look[key]).sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  };
  const of = (from: number, to: number): Memory => ({
    resident: median(from, to, 'resident'),
    heap: median(from, to, 'heap'),
    tensors: median(from, to, 'tensors'),
  });
  const [early, late] = [of(0.25, 0.5), of(0.75, 1)];
  const text = [
    `resident ${mebibytes(early.resident)} → ${mebibytes(late.resident)}`,
    `heap ${mebibytes(early.heap)} → ${mebibytes(late.heap)}`,
    `tensors ${early.tensors} → ${late.tensors}`,
  ].join(', ');
  return { early, late, text };
}

/** Bytes per epoch that a run may keep for good: what it tells of an epoch in its report and its charts. */
const KEPT_PER_EPOCH = 8 * 2 ** 10;

/**
 * What is not flat, of a run of so many epochs: a tensor more, a heap that grew by more than what is kept of each epoch, or
 * resident memory that grew by 5 % and 16 MiB more than that (allocators keep pages).
 */
export function growthOf({ early, late }: MemorySeries, epochs: number): string[] {
  const kept = (KEPT_PER_EPOCH * epochs) / 2;
  const problems: string[] = [];
  if (late.tensors > early.tensors) problems.push(`${late.tensors - early.tensors} tensors more`);
  if (late.heap > early.heap + kept + 2 ** 20) problems.push(`a heap of ${mebibytes(late.heap)}`);
  if (late.resident > 1.05 * early.resident + kept + 2 ** 24)
    problems.push(`${mebibytes(late.resident)} resident`);
  return problems;
}
