/** Starts XLA as the backend of tfjs, with an error that says what to do where it cannot. */
import * as tf from '@tensorflow/tfjs-core';
import { startClient } from './runtime/client';
import { configure, type XlaOptions } from './runtime/settings';

/**
 * Makes XLA the backend that tfjs computes with. `tf.setBackend('xla')` does the same, but resolves to false where XLA
 * cannot start and logs why.
 *
 * @param options as `configure` takes them
 * @throws pjrt's NoPluginError, whose message names the command that installs a plugin, when there is none; an Error when
 *   the plugin cannot be loaded, or when options come after XLA has started.
 */
export async function startXla(options?: XlaOptions): Promise<void> {
  if (options !== undefined) configure(options);
  await startClient(); // tfjs would swallow its error
  if (!(await tf.setBackend('xla'))) throw new Error('tfjs does not start the backend xla, though XLA runs');
}
