/** The tfjs backends that a command can start, if they are installed. WebGPU and WebGL are for web pages. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';

/** How one package is loaded. The types of those that need an install script are not there. */
interface Source {
  readonly name: string;
  load(): Promise<unknown>;
}

const source = (name: string, load: () => Promise<unknown> = () => import(name)): Source => ({ name, load });

/** Where each comes from; of several packages the first that is installed. */
const SOURCES = {
  // By its name in the code, so that a bundle has the backend once.
  xla: [source('@flow-grpo/tfjs-backend-xla', () => import('@flow-grpo/tfjs-backend-xla'))],
  tensorflow: [source('@tensorflow/tfjs-node-gpu'), source('@tensorflow/tfjs-node')],
  wasm: [source('@tensorflow/tfjs-backend-wasm')],
  cpu: [source('@tensorflow/tfjs-backend-cpu', () => import('@tensorflow/tfjs-backend-cpu'))],
} as const;

type BackendName = keyof typeof SOURCES;

/** Their names, the fastest first. */
export const BACKENDS = Object.keys(SOURCES) as readonly BackendName[];

/** For a flag's help. */
export const BACKEND_HELP =
  'tfjs backend: xla, tensorflow (tfjs-node or tfjs-node-gpu), wasm, or cpu for plain JavaScript (slow)';

/** Names of GPUs' backends elsewhere, which xla stands for in Node. */
const GPU = /gpu|cuda|webgl/i;

/** Why there is no backend of this name in Node, with those there are; undefined where there is. */
export function backendProblem(name: string): string | undefined {
  if (Object.hasOwn(SOURCES, name)) return undefined;
  const gpu = GPU.test(name) ? '; xla uses a GPU where there is one' : '';
  return `there is no backend ${name} in Node; give ${BACKENDS.join(', ')}${gpu}`;
}

/**
 * Makes a backend known to tfjs-core; `tf.setBackend` then starts it.
 *
 * @throws an Error when there is no such backend, its package is not installed, or it cannot be loaded.
 */
export async function loadBackend(name: string): Promise<void> {
  const problem = backendProblem(name);
  if (problem !== undefined) throw new Error(problem);
  const sources: readonly Source[] = SOURCES[name as BackendName];
  for (const one of sources) {
    if (await loaded(one)) return;
  }
  const names = sources.map((one) => one.name).reverse();
  throw new Error(`backend ${name} needs the package ${names.join(' or ')}: npm install ${names[0]}`);
}

/**
 * Loads and starts a backend.
 *
 * @throws an Error as {@link loadBackend} does, and when it does not start.
 */
export async function startBackend(name: string): Promise<void> {
  await loadBackend(name);
  const started = await start(name).catch((error: Error) => error);
  if (started === true) return;
  const why = started === false ? '' : `: ${started.message}`;
  const help = name === 'xla' ? '\nnpx pjrt doctor says what is missing; --backend cpu needs no plugin' : '';
  throw new Error(`backend ${name} does not start${why}${help}`);
}

/** XLA's own start says why it fails; tfjs would only log it. */
async function start(name: string): Promise<boolean> {
  if (name !== 'xla') {
    const started = await tf.setBackend(name);
    // Plain JavaScript greets its first tensor with a recommendation of tfjs-node; whoever chose it knows.
    if (name === 'cpu') (tf.backend() as { firstUse?: boolean }).firstUse = false;
    return started;
  }
  await (await import('@flow-grpo/tfjs-backend-xla')).startXla();
  return true;
}

/** @returns false when the package is not installed. */
async function loaded({ name, load }: Source): Promise<boolean> {
  try {
    const module = (await load()) as { setWasmPaths?: (folder: string) => void };
    module.setWasmPaths?.(`${dirname(createRequire(import.meta.url).resolve(name))}/`);
    return true;
  } catch (error) {
    const { message } = error as Error;
    // Of the package itself, not of something that it needs.
    if (new RegExp(`(find|resolve)( package| module)? ['"]${name}['"]`, 'i').test(message)) return false;
    throw new Error(`${name} cannot be loaded: ${message}`, { cause: error });
  }
}
