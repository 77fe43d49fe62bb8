import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it, vi } from 'vitest';
import { BACKENDS, loadBackend, startBackend } from './backend';

/** tfjs-node is no dependency of this repository: its binary is downloaded by an install script. */
const installed = await import('@tensorflow/tfjs-node' as string).then(
  () => true,
  () => false,
);

describe('startBackend', () => {
  it.each(BACKENDS.filter((name) => name !== 'tensorflow' || installed))(
    'starts %s, without a word',
    async (name) => {
      const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
      await startBackend(name);
      expect(tf.getBackend()).toBe(name);
      const product = tf.matMul(tf.fill([4, 8], 0.5), tf.ones([8, 2]));
      expect([...(await product.data())]).toEqual(new Array(8).fill(4));
      product.dispose();
      expect(warn).not.toHaveBeenCalled();
      warn.mockRestore();
    },
  );

  it.skipIf(installed)('says what to install', async () => {
    await expect(loadBackend('tensorflow')).rejects.toThrow(
      'backend tensorflow needs the package @tensorflow/tfjs-node or @tensorflow/tfjs-node-gpu: npm install @tensorflow/tfjs-node',
    );
  });

  it.each(['webgpu', 'toString', ''])('knows no backend %j', async (name) => {
    await expect(startBackend(name)).rejects.toThrow(
      /there is no backend .* in Node; give xla, tensorflow, wasm, cpu/,
    );
  });
});
