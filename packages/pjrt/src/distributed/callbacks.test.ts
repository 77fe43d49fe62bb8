/**
 * PJRT's key-value callbacks as a plugin calls them: from threads of its own, and from within a call that the main thread
 * waits in. The plugin's part is done by koffi, which calls the very addresses that a plugin is given.
 */
import { once } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import koffi from 'koffi';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, joinCluster, type KeyValueCallbacks } from './cluster';

const secret = 'a secret of tests';
const callback = koffi.proto('uint64_t', ['uint64_t']);
interface Callback {
  (args: number): number;
  async(args: number, done: (error: unknown, result: number) => void): void;
}
const dlsym = koffi.load(null).func('dlsym', 'uint64_t', ['uint64_t', 'str']);
/** Stands for the function that makes a PJRT_Error of (code, text, length): the code is the error. */
const makeError = BigUint64Array.of(BigInt(dlsym(0, 'abs')));

let clusters: Cluster[];
let callbacks: KeyValueCallbacks[];
beforeAll(async () => {
  const first = await joinCluster({ coordinator: '127.0.0.1:0', processId: 0, numProcesses: 1, secret });
  first.leave();
  // Both processes are this one: each has its own threads.
  const options = { numProcesses: 2, secret, onPeerLost: () => {} };
  const coordinator = `127.0.0.1:${first.port}`;
  clusters = await Promise.all(
    [0, 1].map((processId) => joinCluster({ ...options, coordinator, processId })),
  );
  callbacks = await Promise.all(clusters.map((cluster) => cluster.keyValueCallbacks()));
});
afterAll(() => {
  for (const cluster of clusters.toReversed()) {
    cluster.leave();
    cluster.close();
  }
});

const address = (memory: ArrayBufferView) => Number(koffi.address(memory));
const functionAt = (at: number) => koffi.decode(BigInt(at), callback) as Callback;

/** The arguments of a callback: the words behind size and extension. */
function words(...values: number[]): { at: number; words: BigUint64Array; keep: unknown } {
  const all = BigUint64Array.from([values.length * 8 + 16, 0, ...values], BigInt);
  return { at: address(all), words: all, keep: values };
}
const error = () => address(makeError);

function getArgs(key: string, ms: number) {
  const text = Buffer.from(new Uint8Array(Buffer.from(key)));
  const args = words(address(text), text.length, ms, error(), 0, 0, 0, 0);
  return { ...args, text, value: () => valueAt(args.words, 7) };
}
function tryGetArgs(key: string) {
  const text = Buffer.from(new Uint8Array(Buffer.from(key)));
  const args = words(address(text), text.length, error(), 0, 0, 0, 0);
  return { ...args, text, value: () => valueAt(args.words, 6) };
}
function putArgs(key: string, value: Uint8Array) {
  const text = Buffer.from(new Uint8Array(Buffer.from(key)));
  return { ...words(address(text), text.length, address(value), value.length, error(), 0), text, value };
}

/** Copies a value, and frees it with what came along, as XLA does. */
function valueAt(args: BigUint64Array, at: number): Buffer {
  const [pointer, length, free] = [args[at]!, Number(args[at + 1]), args[at + 2]!];
  const copy = Buffer.from(length === 0 ? new ArrayBuffer(0) : koffi.view(pointer, length).slice(0));
  koffi.decode(free, koffi.proto('void', ['uint64_t']))(pointer);
  return copy;
}

/** Arguments of calls under way: an address alone does not keep their memory. */
const inUse = new Set<unknown>();
/** A call on a thread that is not JavaScript's. */
const onThread = (at: number, args: { at: number }): Promise<number> => {
  inUse.add(args);
  return new Promise<number>((resolve, reject) =>
    functionAt(at).async(args.at, (failure, result) => (failure ? reject(failure) : resolve(Number(result)))),
  ).finally(() => inUse.delete(args));
};
/** A call that the main thread, and with it the event loop, waits in. */
const onMain = (at: number, args: { at: number }): number => {
  inUse.add(args);
  try {
    return Number(functionAt(at)(args.at));
  } finally {
    inUse.delete(args);
  }
};

const binary = Uint8Array.from({ length: 1000 }, (_, i) => (i * 37) % 256);

describe.each<[string, typeof onThread]>([
  ['a thread of the plugin', onThread],
  ['the main thread, which waits', async (at, args) => onMain(at, args)],
])('called on %s', (where, call) => {
  it('a value put in one process is got in the other', async () => {
    expect(await call(callbacks[0]!.put, putArgs(`here ${where}`, binary))).toBe(0);
    const get = getArgs(`here ${where}`, 10_000);
    expect(await call(callbacks[1]!.get, get)).toBe(0);
    expect(get.value()).toEqual(Buffer.from(binary));
    const tried = tryGetArgs(`here ${where}`);
    expect(await call(callbacks[1]!.tryGet, tried)).toBe(0);
    expect(tried.value()).toEqual(Buffer.from(binary));
  });

  it('an empty value is one', async () => {
    expect(await call(callbacks[0]!.put, putArgs(`empty ${where}`, new Uint8Array()))).toBe(0);
    const get = getArgs(`empty ${where}`, 10_000);
    expect(await call(callbacks[0]!.get, get)).toBe(0);
    expect(get.value()).toEqual(Buffer.alloc(0));
  });

  it('a key that nobody puts is an error of the plugin’s own making', async () => {
    expect(await call(callbacks[0]!.get, getArgs(`nowhere ${where}`, 50))).toBe(5);
    expect(await call(callbacks[0]!.tryGet, tryGetArgs(`nowhere ${where}`))).toBe(5);
  });
});

it('the main thread may wait for a key that another thread of this process puts later', async () => {
  // Not before the main thread waits: a get of another key, which takes its time, comes first on that thread.
  const nobody = onThread(callbacks[1]!.get, getArgs('nobody', 200));
  const late = onThread(callbacks[0]!.put, putArgs('late', binary));
  const get = getArgs('late', 10_000);
  expect(onMain(callbacks[1]!.get, get)).toBe(0);
  expect(get.value()).toEqual(Buffer.from(binary));
  expect(await late).toBe(0);
  expect(await nobody).toBe(5);
});

it('a get that waits holds up no put of its process', async () => {
  const get = getArgs('crossing', 10_000);
  const waiting = onThread(callbacks[0]!.get, get);
  expect(onMain(callbacks[0]!.put, putArgs('crossing', binary))).toBe(0);
  expect(await waiting).toBe(0);
  expect(get.value()).toEqual(Buffer.from(binary));
});

it('a callback waits for its own answer, whatever wakes it before', async () => {
  const { port1: link, port2: port } = new MessageChannel();
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('./callbacks-worker.mjs', import.meta.url), {
    workerData: { names: ['tryGet'], port, flag },
    transferList: [port],
  });
  const [{ pointers }] = await once(worker, 'message');
  link.on('message', async () => {
    // As the call for an earlier answer does that comes late.
    for (let i = 0; i < 20; i++) {
      Atomics.notify(flag, 0);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    link.postMessage({ value: Buffer.from(binary).toString('base64') });
    Atomics.store(flag, 0, 1);
    Atomics.notify(flag, 0);
  });
  const tried = tryGetArgs('late call');
  expect(await onThread(pointers[0], tried)).toBe(0);
  expect(tried.value()).toEqual(Buffer.from(binary));
  link.close();
  await worker.terminate();
});

it('gets that wait on several threads end with the puts, in whatever order these come', async () => {
  // No more than libuv has threads, which stand for XLA's here.
  const keys = ['first', 'second', 'third'];
  const gets = keys.map((key) => getArgs(key, 60_000));
  const got = gets.map((args, i) => onThread(callbacks[i % 2]!.get, args));
  for (const key of keys.toReversed()) {
    expect(onMain(callbacks[1]!.put, putArgs(key, new TextEncoder().encode(`value of ${key}`)))).toBe(0);
  }
  expect(await Promise.all(got)).toEqual([0, 0, 0]);
  expect(gets.map((args) => args.value().toString())).toEqual(keys.map((key) => `value of ${key}`));
});
