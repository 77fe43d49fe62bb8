/** Starts the chosen TensorFlow.js backend; those besides XLA are the user's own packages. */
import { startBackend } from '@flow-grpo/rewards/backend';
import { configure, startXla } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import type { QuickstartOptions } from './options';

export interface StartedBackend {
  readonly name: NonNullable<QuickstartOptions['backend']>;
  /** What it runs on, for people. */
  readonly text: string;
  /** Why it is not XLA, where nobody asked for another. */
  readonly reason?: string;
}

/**
 * Starts a backend: XLA, or WebAssembly where no name is given and XLA has no plugin.
 *
 * @throws with what to install when the backend's package is missing, and when it has fewer devices than asked for.
 */
export async function chooseBackend(
  name: QuickstartOptions['backend'],
  devices = 1,
): Promise<StartedBackend> {
  if (name === undefined) {
    try {
      return await onXla(devices);
    } catch (error) {
      if ((error as Error).name !== 'NoPluginError') throw error;
      if (devices > 1) throw error; // asked for in a way that only XLA gives
      await startBackend('wasm');
      return { name: 'wasm', text: 'wasm', reason: (error as Error).message };
    }
  }
  if (name === 'xla') return onXla(devices);
  await startBackend(name);
  if (devices > 1) throw new Error(`--devices ${devices}: only the backend 'xla' has several devices.`);
  return { name, text: name };
}

async function onXla(devices: number): Promise<StartedBackend> {
  // The model is small: the GPU's memory stays free for others.
  configure({ preallocate: false, devices });
  await startXla();
  const there = deviceInfo();
  if (there.length < devices) throw new Error(`--devices ${devices}: there are only ${there.length}.`);
  return { name: 'xla', text: `xla on ${devices} × ${there[0]!.kind}` };
}
