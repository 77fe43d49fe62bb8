/** Holds the model and draws, beside the page. */
import '@tensorflow/tfjs-backend-cpu';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { drawImages, loadModel, type Model } from './draw-model';
import type { DrawMessage, FromWorker, When } from './messages';

const tell = (message: FromWorker) => postMessage(message);

async function start(): Promise<Model> {
  setWasmPaths(new URL('wasm/', location.href).href);
  if (!(await tf.setBackend('wasm').catch(() => false))) await tf.setBackend('cpu');
  const get = async (name: string) => {
    const response = await fetch(`model/${name}`);
    if (!response.ok) throw new Error(`${name} cannot be loaded (${response.status})`);
    return response;
  };
  const model = await loadModel({
    json: async (name) => (await get(name)).json(),
    bytes: async (name) => (await get(name)).arrayBuffer(),
  });
  tell({ kind: 'ready', backend: tf.getBackend() });
  return model;
}

let wanted = 0;

async function draw({ policy, ...weights }: Model, message: DrawMessage): Promise<void> {
  for (const when of ['before', 'after'] as const satisfies readonly When[]) {
    // Messages that came meanwhile are heard first.
    await new Promise((resolve) => setTimeout(resolve));
    if (message.id !== wanted) return;
    const images = drawImages(policy, weights[when], message);
    const [count, side] = images.shape;
    const values = await images.data();
    images.dispose();
    const pixels = new Uint8ClampedArray(count * side * side * 4).fill(255);
    for (let i = 0; i < count * side * side; i++) {
      for (let c = 0; c < 3; c++) pixels[4 * i + c] = Math.round(255 * values[3 * i + c]!);
    }
    tell({ kind: 'images', id: message.id, when, side, pixels });
  }
}

const failed = (error: Error) => tell({ kind: 'failed', message: error.message });
const model = start();
model.catch(failed);
addEventListener('message', ({ data }: MessageEvent<DrawMessage>) => {
  wanted = data.id;
  model.then((loaded) => draw(loaded, data)).catch(failed);
});
