import { type ClientOptions, type PjrtClient, startClient } from './client';
import { findPlugin } from './plugins/find';
import type { PluginPlatform } from './plugins/locations';

export interface CreateClientOptions extends Omit<ClientOptions, 'plugin'> {
  /** Path of a plugin library. Default: what `findPlugin` finds. */
  plugin?: string | undefined;
  /** Which kind of plugin to look for. Default: `cuda` where a GPU and its plugin are, else `cpu`. */
  platform?: PluginPlatform | undefined;
  /**
   * CUDA plugins take three quarters of the GPU's memory at once when true (XLA's default). False lets the pool grow
   * as needed. Left out: the plugin's own default. CPU plugins have no such pool; it changes nothing there.
   */
  preallocate?: boolean | undefined;
}

/**
 * Starts XLA without blocking the event loop.
 *
 * @throws NoPluginError when no plugin is installed, PjrtError when the plugin refuses to start.
 */
export async function createClient(options: CreateClientOptions = {}): Promise<PjrtClient> {
  const { preallocate, plugin, platform, ...rest } = options;
  const found = findPlugin({ plugin, platform });
  const pool: Record<string, boolean> =
    preallocate === undefined || found.platform !== 'cuda' ? {} : { preallocate };
  return startClient({ ...rest, plugin: found.path, options: { ...pool, ...rest.options } });
}
