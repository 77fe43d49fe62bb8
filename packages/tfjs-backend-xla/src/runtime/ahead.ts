/** Work that is only planned: its programs are compiled, in the background and several at once, and nothing runs. */
import type { Cost, PlannedProgram, Sharding } from '@flow-grpo/tfjs-jit/backend';
import { DeviceData } from './data';

/** A program of planned work. */
interface Planned {
  readonly name: string;
}

/** Compilations that were asked for, and of each program how often it would have run, and its cost. */
interface Plan {
  readonly compilations: Promise<unknown>[];
  readonly calls: Map<Planned, { readonly calls: number; readonly cost: () => Cost }>;
}

let plan: Plan | undefined;

/** Whether work is being planned: what runs programs asks for them instead, and gives data without values. */
export const isPlanning = (): boolean => plan !== undefined;

/** Adds a call to the plan, and the compilation that it needs. */
export function planned(program: Planned, cost: () => Cost, compilation: Promise<unknown>): void {
  compilation.catch(() => {}); // of `ready`; until somebody awaits that, not unhandled
  const { compilations, calls } = plan!;
  compilations.push(compilation);
  calls.set(program, { calls: (calls.get(program)?.calls ?? 0) + 1, cost });
}

/** Runs `f`, planning. `ready` settles when its programs are compiled: with the first error, once all have ended. */
export function planWork<T>(f: () => T): { value: T; ready: Promise<readonly PlannedProgram[]> } {
  if (plan) throw new Error('compileAhead inside of compileAhead');
  const own: Plan = { compilations: [], calls: new Map() };
  plan = own;
  let value: T;
  try {
    value = f();
  } finally {
    plan = undefined;
  }
  const ready = Promise.allSettled(own.compilations).then((all) => {
    for (const each of all) if (each.status === 'rejected') throw each.reason;
    return Array.from(own.calls, ([{ name }, told]) => ({ name, ...told }));
  });
  ready.catch(() => {});
  return { value, ready };
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
