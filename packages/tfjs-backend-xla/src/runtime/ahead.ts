/** Work that is only planned: its programs are compiled, in the background and several at once, and nothing runs. */
import type { Cost, PlannedProgram, PlannedWork, Sharding } from '@flow-grpo/tfjs-jit/backend';
import { client } from './client';
import { DeviceData } from './data';

/** A program of planned work. */
interface Planned {
  readonly name: string;
}

/** Compilations that were asked for, and of each program how often it would have run, and its cost. */
interface Plan {
  readonly compilations: Promise<unknown>[];
  readonly calls: Map<Planned, { readonly calls: number; readonly cost: () => Cost }>;
  isAbandoned: boolean;
}

let plan: Plan | undefined;

/** Whether work is being planned: what runs programs asks for them instead, and gives data without values. */
export const isPlanning = (): boolean => plan !== undefined;

/** Whether somebody waits for the programs of the plan under way, to be asked later too. */
export function programsWanted(): () => boolean {
  const own = plan!;
  return () => !own.isAbandoned;
}

/** Adds a call to the plan, and the compilation that it needs. */
export function planned(program: Planned, cost: () => Cost, compilation: Promise<unknown>): void {
  compilation.catch(() => {}); // of `ready`; until somebody awaits that, not unhandled
  const { compilations, calls } = plan!;
  compilations.push(compilation);
  calls.set(program, { calls: (calls.get(program)?.calls ?? 0) + 1, cost });
}

/**
 * Runs `f`, planning. `ready` settles when its programs are compiled: with the first error, once all have ended. After
 * `abandon` no more of them are begun, and the process may end although some are being compiled.
 */
export function planWork<T>(f: () => T): PlannedWork<T> {
  if (plan) throw new Error('compileAhead inside of compileAhead');
  const own: Plan = { compilations: [], calls: new Map(), isAbandoned: false };
  plan = own;
  let value: T;
  try {
    value = f();
  } finally {
    plan = undefined;
  }
  const ready = Promise.allSettled(own.compilations).then((all): readonly PlannedProgram[] => {
    for (const each of all) if (each.status === 'rejected') throw each.reason;
    return Array.from(own.calls, ([{ name }, told]) => ({ name, ...told }));
  });
  ready.catch(() => {});
  const abandon = () => {
    own.isAbandoned = true;
    client().abandonCompilations();
  };
  return { value, ready, abandon };
}

/** Data of which the shape and the layout are known, and which nothing has computed. */
export function unvalued(
  shape: readonly number[],
  { dtype, element }: Pick<DeviceData, 'dtype' | 'element'>,
  sharding: Sharding | undefined,
): DeviceData {
  const data = new DeviceData(shape, dtype, element);
  data.unvalued = true;
  data.sharding = sharding;
  return data;
}
