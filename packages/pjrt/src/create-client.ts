import { type ClientOptions, type PjrtClient, startClient } from './client';

export interface CreateClientOptions extends Omit<ClientOptions, 'plugin'> {
  /** Path of a plugin library. */
  plugin: string;
  /**
   * CUDA plugins take three quarters of the GPU's memory at once when true (XLA's default). False lets the pool grow
   * as needed. Left out: the plugin's own default. Not for CPU plugins.
   */
  preallocate?: boolean;
}

/** Starts XLA. */
export async function createClient(options: CreateClientOptions): Promise<PjrtClient> {
  const { preallocate, plugin, ...rest } = options;
  const values = { ...(preallocate === undefined ? {} : { preallocate }), ...rest.options };
  return startClient({ ...rest, plugin, options: values });
}
