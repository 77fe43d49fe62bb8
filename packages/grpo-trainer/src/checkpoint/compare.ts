/** What of a configuration must stay the same between the parts of one run. */
import { algorithms } from '../algorithms/registry';
import type { GrpoConfig } from '../config/schema';

/** The configuration without what may change, and without the options of algorithms that do not run. */
export function comparable(config: GrpoConfig): unknown {
  const {
    epochs,
    devices,
    shardParameters,
    evalEvery,
    evalBatchSize,
    saveEvery,
    keepCheckpoints,
    divergence,
    sampling: { batchSize, ...sampling },
    training: { stepsPerPass, ...training },
    ...rest
  } = config;
  const own = Object.entries(rest).filter(([key]) => key === config.algorithm || !(key in algorithms));
  return {
    ...Object.fromEntries(own),
    sampling,
    training,
    ...(training.schedule !== 'constant' && { epochs }),
  };
}

/** The leaves in which two values differ: `path: a → b`. */
export function differences(a: unknown, b: unknown, path = ''): string[] {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return Object.is(a, b) ? [] : [`${path}: ${JSON.stringify(a)} → ${JSON.stringify(b)}`];
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
    differences(left[key], right[key], path ? `${path}.${key}` : key),
  );
}
