/**
 * Takes the place of pjrt's `api.ts` in a bundle: threads of one process act as the processes of a run, on parts of one CPU
 * client's virtual devices, since XLA's CPU plugins cannot compute in several. Everything above the C API is the code that
 * runs on GPUs. A program over all devices runs when all threads have called it, which must be with the same program.
 */
import { workerData } from 'node:worker_threads';
import { loadPlugin as loadReal, PjrtApi } from '../../../../packages/pjrt/src/api';
import type { FunctionName } from '../../../../packages/pjrt/src/ffi/function-table';
import type { NativeFunction } from '../../../../packages/pjrt/src/ffi/native';
import type { Words } from '../../../../packages/pjrt/src/ffi/words';
import { encodeNamedValues } from '../../../../packages/pjrt/src/named-values';
import type { Emulation } from './run';

export { PjrtApi };

const { id, processes, devicesPerProcess, memory } = workerData as Emulation;
/** Two counters of the barrier, then as 64-bit words: the client, how many have it, and a call of each process. */
const counters = new Int32Array(memory, 0, 4);
const shared = new BigInt64Array(memory, 16);
const [CLIENT, USERS, ERROR, CALLS] = [0, 1, 2, 3];
/** Words of a call: address, argument count. */
const CALL = 2;
/** Each process's program by its name, behind the words. */
const [NAMES, NAME_BYTES] = [1024, 128];
const WAIT_MS = 120_000;

/** Returns when all processes have come here. */
function barrier(what: string): void {
  const round = Atomics.load(counters, 1);
  if (Atomics.add(counters, 0, 1) === processes - 1) {
    Atomics.store(counters, 0, 0);
    Atomics.add(counters, 1, 1);
    Atomics.notify(counters, 1);
    return;
  }
  // Woken is not released: the call for one barrier may come when who passed it already waits at the next.
  while (Atomics.load(counters, 1) === round) {
    if (Atomics.wait(counters, 1, round, WAIT_MS) === 'timed-out')
      throw new Error(`process ${id} waits alone for ${what}: the others do not run it`);
  }
}

export async function loadPlugin(path: string): Promise<PjrtApi> {
  const api = await loadReal(path);
  const real = api.function.bind(api);
  const { native } = api;
  const own = api.words(40);
  const callReal = (name: FunctionName, words: Words): number => real(name)(words.address);
  /** The struct of a call, as words. */
  const struct = (at: number, size: number) => new BigUint64Array(native.view(at, 8 * size));
  const total = processes * devicesPerProcess;
  const isLocal = (device: number) => {
    own.u32.fill(0);
    own.set(0, 32);
    own.set(2, device);
    callReal('Device_GetDescription', own);
    const description = own.get(3);
    own.set(2, description);
    callReal('DeviceDescription_Id', own);
    return Math.floor(own.getInt32(3) / devicesPerProcess) === id;
  };
  /** What native memory points to: an address keeps nothing. */
  const keep: unknown[] = [];
  const callWith = (memory: unknown, name: FunctionName, words: Words): number => {
    keep.push(memory);
    try {
      return callReal(name, words);
    } finally {
      keep.pop();
    }
  };

  const create = (at: number): number => {
    if (id === 0) {
      const options = encodeNamedValues(native, { cpu_device_count: total });
      const args = api.words(11);
      args.set(0, 88);
      args.set(2, options.address);
      args.set(3, options.count);
      const error = callWith(options, 'Client_Create', args);
      if (error !== 0) return error;
      shared[CLIENT] = BigInt(args.get(8));
      shared[USERS] = BigInt(processes);
    }
    barrier('the client');
    struct(at, 11)[8] = BigInt.asUintN(64, shared[CLIENT]!);
    return 0;
  };

  const addressableOf = (at: number): number => {
    const error = real('LoadedExecutable_AddressableDevices')(at);
    if (error !== 0) return error;
    const words = struct(at, 5);
    const count = Number(words[4]);
    const all = count === 0 ? [] : [...new BigUint64Array(native.copy(Number(words[3]), 8 * count).buffer)];
    const local = BigUint64Array.from(all.filter((device) => isLocal(Number(device))));
    keep.push(local);
    words[3] = BigInt(native.addressOf(local));
    words[4] = BigInt(local.length);
    return 0;
  };

  const programName = (executable: number): string => {
    const list = api.words(5);
    list.set(0, 32);
    list.set(2, executable);
    callReal('LoadedExecutable_GetExecutable', list);
    const program = list.get(3);
    list.u32.fill(0);
    list.set(0, 40);
    list.set(2, program);
    callReal('Executable_Name', list);
    return Buffer.from(native.copy(list.get(3), list.get(4))).toString();
  };

  const execute = (at: number): number => {
    const words = struct(at, 10);
    const list = api.words(5);
    list.set(0, 40);
    list.set(2, Number(words[2]));
    callReal('LoadedExecutable_AddressableDevices', list);
    const here = Number(words[5]);
    if (list.get(4) === here) return real('LoadedExecutable_Execute')(at);
    const call = (process: number) => CALLS! + CALL * process;
    shared[call(id)] = BigInt(at);
    shared[call(id) + 1] = words[6]!;
    const nameOf = (process: number) => Buffer.from(memory, NAMES + NAME_BYTES * process, NAME_BYTES);
    nameOf(id)
      .fill(0)
      .write(programName(Number(words[2])));
    barrier('a program');
    const programs = Array.from(
      { length: processes },
      (_, p) => `${nameOf(p).toString().replaceAll('\0', '')} of ${shared[call(p) + 1]} arguments`,
    );
    if (new Set(programs).size > 1) {
      // In every process: one that went on would read the lists of another program.
      throw new Error(`process ${id}: the processes run different programs: ${programs.join('; ')}`);
    }
    if (id === 0)
      shared[ERROR] = BigInt(
        executeAll(Array.from({ length: processes }, (_, p) => Number(shared[call(p)]))),
      );
    barrier('its end');
    const error = Number(shared[ERROR]);
    if (error !== 0 && id !== 0) throw new Error('the program failed; process 0 knows why');
    return error;
  };

  /** Runs a program with the argument lists of all processes; their own structs get the results. */
  const executeAll = (calls: readonly number[]): number => {
    const all = calls.map((at) => struct(at, 10));
    const lists = (word: number) =>
      BigUint64Array.from(all.flatMap((words) => [...struct(Number(words[word]), Number(words[5]))]));
    const [args, outputs] = [lists(4), lists(7)];
    const events = new BigUint64Array(args.length);
    const joint = api.words(10);
    new BigUint64Array(joint.buffer).set(all[0]!);
    joint.set(4, native.addressOf(args));
    joint.set(5, args.length);
    joint.set(7, native.addressOf(outputs));
    joint.set(8, native.addressOf(events));
    const error = callWith([args, outputs, events], 'LoadedExecutable_Execute', joint);
    let from = 0;
    for (const words of all) {
      const count = Number(words[5]);
      struct(Number(words[8]), count).set(events.subarray(from, from + count));
      from += count;
    }
    return error;
  };

  const emulated: Partial<Record<FunctionName, (at: number) => number>> = {
    Client_Create: create,
    Client_Destroy: (at) => (Atomics.sub(shared, USERS!, 1n) === 1n ? real('Client_Destroy')(at) : 0),
    Client_ProcessIndex: (at) => {
      struct(at, 4)[3] = BigInt(id);
      return 0;
    },
    DeviceDescription_ProcessIndex: (at) => {
      const error = real('DeviceDescription_Id')(at);
      const words = struct(at, 4);
      words[3] = words[3]! / BigInt(devicesPerProcess);
      return error;
    },
    Device_IsAddressable: (at) => {
      const words = struct(at, 4);
      words[3] = isLocal(Number(words[2])) ? 1n : 0n;
      return 0;
    },
    LoadedExecutable_AddressableDevices: addressableOf,
    LoadedExecutable_Execute: execute,
  };
  return Object.assign(api, {
    function(name: FunctionName): NativeFunction {
      const instead = emulated[name];
      if (instead === undefined) return real(name);
      const async: NativeFunction['async'] = (at, done) => {
        let result = 0;
        try {
          result = instead(at);
        } catch (error) {
          return void setImmediate(done, error, 0);
        }
        setImmediate(done, null, result);
      };
      return Object.assign((at: number) => instead(at), { async });
    },
  });
}
