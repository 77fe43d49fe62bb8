/** What a run leaves behind, and the ratios that are read off it. */
import type { Engine, Measurement } from '../reporting';

export interface Failure {
  readonly engine: Engine;
  readonly section: string;
  readonly reason: string;
}

/** When, where and at which sizes a run was. */
export interface Facts {
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly workload: 'full' | 'tiny';
}

export interface Results extends Facts {
  /** Time of the PyTorch reference over ours, eager; what was not measured is absent. */
  readonly ratios: Ratios;
  /** The same against torch.compile, and against the JAX program. */
  readonly ratiosToCompiled: Ratios;
  readonly ratiosToJax: Ratios;
  readonly measurements: readonly Measurement[];
  readonly failures: readonly Failure[];
}

export type Ratios = Readonly<Partial<Record<keyof typeof RATIO_CASES, number>>>;

/** Which case stands for which kind of work. */
const RATIO_CASES = {
  rollout: 'rollout.step',
  update: 'update.step',
  decode: 'decode.images',
  epoch: 'epoch.recipe',
} as const;

/** How many times as long as ours another engine takes, for each kind of work that both did. `suffix` picks a variant. */
export function ratios(measurements: readonly Measurement[], engine: Engine, suffix = ''): Ratios {
  const time = (who: Engine, name: string) =>
    measurements.findLast((each) => each.engine === who && each.case === name)?.ms;
  const entries = Object.entries(RATIO_CASES).flatMap(([kind, name]) => {
    const [ours, theirs] = [time('ours', name), time(engine, `${name}${suffix}`)];
    return ours && theirs ? [[kind, Number((theirs / ours).toPrecision(4))] as const] : [];
  });
  return Object.fromEntries(entries);
}

/** Everything known so far, ratios included. */
export function results(
  { date, machine, workload }: Facts,
  measurements: readonly Measurement[],
  failures: readonly Failure[],
): Results {
  return {
    date,
    machine,
    workload,
    ratios: ratios(measurements, 'torch'),
    ratiosToCompiled: ratios(measurements, 'torch', 'Compiled'),
    ratiosToJax: ratios(measurements, 'jax'),
    measurements,
    failures,
  };
}
