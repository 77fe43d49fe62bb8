/** Work that is only planned: its programs are compiled, in the background and several at once, and nothing runs. */
import type { Sharding } from '@flow-grpo/tfjs-jit/backend';
import { DeviceData } from './data';

/** Compilations that were asked for. */
interface Plan {
  readonly programs: Promise<unknown>[];
}

let plan: Plan | undefined;

/** Whether work is being planned: what runs programs asks for them instead, and gives data without values. */
export const isPlanning = (): boolean => plan !== undefined;

/** Adds a compilation to the plan. */
export function planned(program: Promise<unknown>): void {
  program.catch(() => {}); // of `ready`; until somebody awaits that, not unhandled
  plan!.programs.push(program);
}

/** Runs `f`, planning. `ready` settles when its programs are compiled: with the first error, once all have ended. */
export function planWork<T>(f: () => T): { value: T; ready: Promise<void> } {
  if (plan) throw new Error('compileAhead inside of compileAhead');
  const own: Plan = { programs: [] };
  plan = own;
  let value: T;
  try {
    value = f();
  } finally {
    plan = undefined;
  }
  const ready = Promise.allSettled(own.programs).then((all) => {
    for (const each of all) if (each.status === 'rejected') throw each.reason;
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
