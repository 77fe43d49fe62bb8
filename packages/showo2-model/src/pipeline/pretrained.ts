import { hasCompiler } from '@flow-grpo/tfjs-jit';
import { stackFrozen } from '../layers';
import { type LoadShowo2Options, loadShowo2 } from './load';
import { Showo2 } from './showo2';

/**
 * Loads a model from a folder or from the hub (see `loadShowo2`). With `stacked`, the default on a backend that compiles,
 * layers run under a scan, so that they compile once; `parts.params` then holds them under the names of `stackLayers`.
 */
export async function showo2FromPretrained(
  pathOrId: string,
  { stacked = hasCompiler(), ...options }: LoadShowo2Options & { stacked?: boolean } = {},
): Promise<Showo2> {
  const parts = await loadShowo2(pathOrId, options);
  return new Showo2(stacked ? { ...parts, params: stackFrozen(parts.params) } : parts);
}
