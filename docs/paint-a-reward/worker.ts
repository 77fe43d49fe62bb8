/** Trains beside the page, so that painting never waits. */
import '@flow-grpo/tfjs-jit/gradients';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import type { FromWorker, StartMessage, ToWorker } from './messages';
import { emptyMap } from './reward-map';
import { tune } from './tune';

let map = emptyMap();
let over = new AbortController();
let run: Promise<void> = Promise.resolve();

const tell = (message: FromWorker) => postMessage(message);

async function start({ algorithm, learningRate }: StartMessage, signal: AbortSignal): Promise<void> {
  await tf.setBackend('cpu');
  if (signal.aborted) return;
  await tune({
    algorithm,
    learningRate,
    signal,
    map: () => map,
    onPoints: (points) => {
      if (!signal.aborted) tell({ kind: 'points', ...points });
    },
  });
}

addEventListener('message', ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === 'map') {
    map = data.map;
    return;
  }
  over.abort();
  if (data.kind === 'stop') return;
  map = data.map;
  over = new AbortController();
  const { signal } = over;
  run = run
    .then(() => start(data, signal))
    .then(() => tell({ kind: 'ended' }))
    .catch((error: Error) => tell({ kind: 'failed', message: error.message }));
});
