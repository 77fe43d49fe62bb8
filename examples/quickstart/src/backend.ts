/** Starts the chosen TensorFlow.js backend; those besides XLA are the user's own packages. */
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo, hasCompiler } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import type { QuickstartOptions } from './options';

const PACKAGES = {
  wasm: '@tensorflow/tfjs-backend-wasm',
  cpu: '@tensorflow/tfjs-backend-cpu',
  tensorflow: '@tensorflow/tfjs-node',
} as const;

/** Minutes of training in which a laptop, or a GPU, learns most of what it will. */
const MINUTES = { cpu: 8, gpu: 1 } as const;

/** How long to train on what the backend runs on. */
export function minutesByDefault(): number {
  return hasCompiler() && deviceInfo()[0]!.platform !== 'cpu' ? MINUTES.gpu : MINUTES.cpu;
}

/**
 * Returns the backend's name and what it runs on, for people.
 *
 * @throws with what to install when the backend's package is missing, and when it has fewer devices than asked for.
 */
export async function startBackend(name: QuickstartOptions['backend'] = 'xla', devices = 1): Promise<string> {
  if (name !== 'xla') {
    const wanted: string = PACKAGES[name];
    try {
      await import(wanted);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`--backend ${name} needs ${wanted}: npm install ${wanted} (${reason})`);
    }
  }
  // The model is small: the GPU's memory stays free for others.
  if (name === 'xla') configure({ preallocate: false, ...(devices > 1 && { cpuDevices: devices }) });
  if (!(await tf.setBackend(name))) throw new Error(`The backend '${name}' could not be started.`);
  if (name !== 'xla') {
    if (devices > 1) throw new Error(`--devices ${devices}: only the backend 'xla' has several devices.`);
    return name;
  }
  const there = deviceInfo();
  if (there.length < devices) throw new Error(`--devices ${devices}: there are only ${there.length}.`);
  return `xla on ${devices} × ${there[0]!.kind}`;
}
