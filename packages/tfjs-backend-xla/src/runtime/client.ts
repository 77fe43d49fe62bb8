/** The one XLA client of this process: tfjs may make and drop backends, devices stay. */
import type { Cluster, PjrtClient } from '@flow-grpo/pjrt';
import { currentSettings } from './settings';

let starting: Promise<PjrtClient> | undefined;
let running: PjrtClient | undefined;

/**
 * Starts XLA, once; loads the plugin's native library.
 *
 * @throws with pjrt's message when no plugin is installed.
 */
export async function startClient(): Promise<PjrtClient> {
  starting ??= start();
  try {
    running = await starting;
    return running;
  } catch (error) {
    starting = undefined;
    throw error;
  }
}

async function start(): Promise<PjrtClient> {
  const { createClient } = await import('@flow-grpo/pjrt');
  // XLA's C++ log: warnings of its passes say nothing to users of this package.
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
  const { plugin, platform, devices, preallocate, clientOptions, finalizeLeaks, distributed } =
    currentSettings();
  const client = await createClient({
    plugin,
    platform,
    devices,
    preallocate,
    finalizeLeaks,
    options: clientOptions,
    distributed,
  });
  currentSettings(true);
  return client;
}

/** The running client. */
export function client(): PjrtClient {
  if (!running) throw new Error('XLA is not running: await startXla() first');
  return running;
}

/** The processes that share the devices; undefined where this one is alone, or XLA does not run. */
export const cluster = (): Cluster | undefined => running?.cluster;
