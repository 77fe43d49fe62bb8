/**
 * Sizes of the nearly equal parts in which flow_grpo sends `count` items, at most `limit` each: numpy's
 * array_split into ceil(count / limit) parts, so 100 items go as 50 + 50, not as 64 + 36.
 */
export function batchSizes(count: number, limit: number): number[] {
  const parts = Math.ceil(count / limit);
  const small = Math.floor(count / parts);
  return Array.from({ length: parts }, (_, i) => small + (i < count % parts ? 1 : 0));
}

/** The parts themselves, in order. */
export function cutBatches<T>(items: readonly T[], limit: number): T[][] {
  let start = 0;
  return batchSizes(items.length, limit).map((size) => {
    start += size;
    return items.slice(start - size, start);
  });
}
