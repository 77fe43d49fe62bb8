/**
 * The drawing thread: model, XLA and the PNG encoder live here, so that compiling, reading images back and encoding them
 * never keep the thread with the server waiting.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { loadLora } from '@flow-grpo/checkpoint-io';
import { mergeLora } from '@flow-grpo/nn';
import { Showo2 } from '@flow-grpo/showo2-model';
import { loadShowo2 } from '@flow-grpo/showo2-model/node';
import { startXla } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import type { DrawMessage, WorkerMessage, WorkerSettings } from './messages';

const say = (message: WorkerMessage, transfer: ArrayBuffer[] = []) =>
  parentPort!.postMessage(message, transfer);
const { model: place, adapter, size } = workerData as WorkerSettings;

await startXla();
const model = await open();
parentPort!.on('message', (message: DrawMessage) => {
  void draw(message);
});
say({ kind: 'ready' });

/** The model with its adapters added in. */
async function open(): Promise<Showo2> {
  const parts = await loadShowo2(place);
  if (adapter === undefined) return new Showo2(parts);
  const { adapters, ...scale } = await loadLora(adapter);
  const params = mergeLora(parts.params, adapters, scale);
  tf.dispose([
    adapters,
    ...Object.entries(parts.params).flatMap(([name, old]) => (params[name] === old ? [] : [old])),
  ]);
  return new Showo2({ ...parts, params });
}

async function draw({ id, order, cancelled }: DrawMessage): Promise<void> {
  const flag = new Int32Array(cancelled);
  try {
    const { prompt, seed, steps } = order;
    const images = await model.generate([prompt], {
      seed,
      steps,
      ...(size !== undefined && { size: [size, size] as const }),
      onStep: ({ step }) => {
        if (Atomics.load(flag, 0) !== 0) throw new Error(`cancelled before step ${step}`);
      },
    });
    const [, height, width] = images.shape;
    const pixels = tf.tidy(() => tf.cast(tf.round(tf.mul(images, 255)), 'int32'));
    images.dispose();
    const bytes = Uint8Array.from(await pixels.data());
    pixels.dispose();
    const png = await sharp(bytes, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
    const copy = new Uint8Array(png);
    say({ kind: 'drawn', id, png: copy, tensors: tf.memory().numTensors }, [copy.buffer]);
  } catch (error) {
    say({ kind: 'failed', id, message: (error as Error).message, tensors: tf.memory().numTensors });
  }
}
