/** What must stay the same between the parts of one run. */
import { algorithms } from '../algorithms/registry';
import type { GrpoConfig } from '../config/schema';
import type { SetupFingerprint } from './store';

/** The configuration without what may change, and without the options of algorithms that do not run. */
export function comparable(config: GrpoConfig): unknown {
  const {
    epochs,
    devices,
    shardParameters,
    shardFrozen,
    shardDevices,
    evalEvery,
    evalBatchSize,
    saveEvery,
    keepCheckpoints,
    divergence,
    hacking,
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

/** A place where two values differ. */
export interface Difference {
  /** `grpo.clipRange`, `setup.model` */
  readonly path: string;
  readonly before: unknown;
  readonly now: unknown;
}

/** The leaves in which two values differ. */
function differences(before: unknown, now: unknown, path = ''): Difference[] {
  if (typeof before !== 'object' || typeof now !== 'object' || before === null || now === null) {
    // What was saved was written as JSON, which has one zero.
    return before === now || Object.is(before, now) ? [] : [{ path, before, now }];
  }
  const left = before as Record<string, unknown>;
  const right = now as Record<string, unknown>;
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
    differences(left[key], right[key], path ? `${path}.${key}` : key),
  );
}

/**
 * The leaves in which two values differ and may not.
 *
 * @param allowed paths that may differ, with all below them
 */
export function changesBetween(before: unknown, now: unknown, allowed: readonly string[]): Difference[] {
  const isAllowed = (path: string) => allowed.some((key) => path === key || path.startsWith(`${key}.`));
  return differences(before, now).filter(({ path }) => !isAllowed(path));
}

/** What a run is, as far as it must stay the same. */
export interface RunIdentity {
  readonly config: GrpoConfig;
  readonly setup: SetupFingerprint;
}

/**
 * What differs between a checkpoint and the run that resumes from it.
 *
 * @param allowed paths that may differ, with all below them
 */
export function changesOf(
  saved: RunIdentity,
  now: RunIdentity,
  allowed: readonly string[] = [],
): Difference[] {
  const whole = ({ config, setup }: RunIdentity) => ({ ...(comparable(config) as object), setup });
  return changesBetween(whole(saved), whole(now), allowed);
}
