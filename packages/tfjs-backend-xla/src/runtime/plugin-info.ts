/** Which XLA runs. */
import { client } from './client';

export interface PluginInfo {
  /** Path of the plugin's library. */
  readonly path: string;
  /** `cpu`, `cuda`, … */
  readonly platform: string;
  /** What the plugin says of its version. */
  readonly version: string;
  /** Version of the PJRT C API. */
  readonly api: string;
}

/** The plugin of the running backend. */
export function pluginInfo(): PluginInfo {
  const { pluginPath, platformName, platformVersion, apiVersion } = client();
  const api = `${apiVersion.major}.${apiVersion.minor}`;
  return { path: pluginPath, platform: platformName, version: platformVersion, api };
}
