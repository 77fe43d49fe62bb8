/**
 * Puts corrected gradients in place of tfjs-core's own, for good. `@tensorflow/tfjs`, `@tensorflow/tfjs-layers` and
 * `@tensorflow/tfjs-node` carry tfjs-core's gradients and register them when they are imported, which may be later.
 */
import * as tf from '@tensorflow/tfjs-core';
import type { Correction } from './gradient-corrections';

/** Marks a registry that corrects: copies of this file in several packages share one. */
const CORRECTS = Symbol.for('@flow-grpo/tfjs-jit/corrects-gradients');

type Registry = Map<string, tf.GradConfig> & { [CORRECTS]?: true };

/**
 * Corrects what is registered and what will be. A gradient of one's own for one of these kernels: `tf.unregisterGradient`
 * takes the correction away, then `tf.registerGradient` registers as usual.
 */
export function correctGradients(corrections: Readonly<Record<string, Correction>>): void {
  const registry = gradientRegistry();
  if (registry[CORRECTS]) return;
  const standing = new Map(Object.entries(corrections));
  const correct = (kernelName: string, own: tf.GradConfig | undefined) => {
    const corrected = standing.get(kernelName)?.(own);
    return corrected ? { ...corrected, kernelName } : own;
  };
  for (const kernelName of standing.keys()) {
    const corrected = correct(kernelName, registry.get(kernelName));
    if (corrected) registry.set(kernelName, corrected);
  }
  const set = registry.set.bind(registry);
  const remove = registry.delete.bind(registry);
  registry.set = (kernelName, config) => set(kernelName, correct(kernelName, config)!);
  registry.delete = (kernelName) => {
    standing.delete(kernelName);
    return remove(kernelName);
  };
  registry[CORRECTS] = true;
}

/** The map of gradients, which all copies of tfjs-core in a process share by a name in its global object. */
function gradientRegistry(): Registry {
  const { _tfGlobals: globals } = globalThis as { _tfGlobals?: Map<string, Registry> };
  const registry = globals?.get('gradRegistry');
  if (!registry)
    throw new Error(
      `tfjs-core ${tf.version_core} keeps its gradients elsewhere than 4.22 does: install a version of this package made for it`,
    );
  return registry;
}
