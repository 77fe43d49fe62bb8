/**
 * A thread that XLA's key-value callbacks run on. koffi sends a callback to the thread that registered it, whichever calls;
 * the main thread is no place for that: it may itself wait in the call, or in a collective that the callback serves. There is
 * one such thread for `get`, which waits for a key, and one for the others, which do not.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import koffi from 'koffi';

/** @type {{ names: ('get' | 'put' | 'tryGet')[], port: import('node:worker_threads').MessagePort, flag: Int32Array }} */
const { names, port, flag } = workerData;

/** PJRT_Error_Code. */
const NOT_FOUND = 5;
const INTERNAL = 13;

const libc = koffi.load(null);
const malloc = libc.func('malloc', 'uint64_t', ['uint64_t']);
/** What frees a value that XLA was given: libc's own, so that this takes no callback. */
const free = Number(libc.func('dlsym', 'uint64_t', ['uint64_t', 'str'])(0, 'free'));
const callback = koffi.pointer(koffi.proto('uint64_t', ['uint64_t']));
const makeError = koffi.proto('uint64_t', ['int', 'str', 'uint64_t']);

/**
 * PJRT_KeyValue…Callback_Args, in words of 8 bytes: all begin with size, extension, key, key_size.
 *
 * @type {Record<'get' | 'tryGet' | 'put', (args: BigUint64Array) => number>}
 */
const CALLBACKS = {
  /** …, timeout_in_ms, callback_error, user_arg, value, value_size, value_deleter_callback */
  get: (args) => {
    const ms = Number(word(args, 4) & 0x7fffffffn);
    const { value } = ask({ op: 'get', key: keyOf(args), ms });
    if (value !== undefined) return give(args, 7, value);
    return failure(word(args, 5), NOT_FOUND, `no process has put ${keyOf(args)} within ${ms} ms`);
  },
  /** …, callback_error, user_arg, value, value_size, value_deleter_callback */
  tryGet: (args) => {
    const { value } = ask({ op: 'try', key: keyOf(args) });
    return value === undefined
      ? failure(word(args, 4), NOT_FOUND, `no ${keyOf(args)}`)
      : give(args, 6, value);
  },
  /** …, value, value_size, callback_error, user_arg */
  put: (args) => {
    ask({ op: 'put', key: keyOf(args), value: bytes(word(args, 4), word(args, 5)).toString('base64') });
    return 0;
  },
};

/** Where the error's maker stands, for what goes wrong here. */
const ERROR_AT = { get: 5, tryGet: 4, put: 6 };
const WORDS = { get: 10, tryGet: 9, put: 8 };

const pointers = names.map((/** @type {'get' | 'tryGet' | 'put'} */ name) =>
  Number(
    koffi.address(
      koffi.register((/** @type {number | bigint} */ at) => {
        const args = new BigUint64Array(koffi.view(BigInt(at), 8 * WORDS[name]));
        try {
          return CALLBACKS[name](args);
        } catch (error) {
          return failure(word(args, ERROR_AT[name]), INTERNAL, String(error));
        }
      }, callback),
    ),
  ),
);
/** @type {import('node:worker_threads').MessagePort} */ (parentPort).postMessage({ pointers });
parentPort?.on('message', () => {}); // stay

/**
 * Asks the link's thread, and waits.
 *
 * @param {object} request
 * @returns {{ value?: string }}
 */
function ask(request) {
  Atomics.store(flag, 0, 0);
  port.postMessage(request);
  // Woken is not answered: the call for one answer may come when the next one is waited for.
  while (Atomics.load(flag, 0) === 0) Atomics.wait(flag, 0, 0);
  return receiveMessageOnPort(port)?.message;
}

/**
 * @param {BigUint64Array} args
 * @param {number} at
 */
const word = (args, at) => args[at] ?? 0n;

/** @param {BigUint64Array} args */
const keyOf = (args) => bytes(word(args, 2), word(args, 3)).toString();

/**
 * @param {bigint} address
 * @param {bigint} length
 */
const bytes = (address, length) =>
  length === 0n ? Buffer.alloc(0) : Buffer.from(koffi.view(address, Number(length)).slice(0));

/**
 * Puts a value, its size and what frees it into the arguments.
 *
 * @param {BigUint64Array} args
 * @param {number} at
 * @param {string} base64
 */
function give(args, at, base64) {
  const value = Buffer.from(base64, 'base64');
  const address = BigInt(malloc(Math.max(1, value.length)));
  if (value.length > 0) new Uint8Array(koffi.view(address, value.length)).set(value);
  args[at] = address;
  args[at + 1] = BigInt(value.length);
  args[at + 2] = BigInt(free);
  return 0;
}

/**
 * A PJRT_Error, made by the function to whose pointer the arguments point.
 *
 * @param {bigint} maker
 * @param {number} code
 * @param {string} message
 */
function failure(maker, code, message) {
  const make = word(new BigUint64Array(koffi.view(maker, 8).slice(0)), 0);
  return koffi.decode(make, makeError)(code, message, Buffer.byteLength(message));
}
