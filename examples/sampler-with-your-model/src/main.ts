import '@tensorflow/tfjs-backend-wasm';
import '@tensorflow/tfjs-core/dist/register_all_gradients';
import * as tf from '@tensorflow/tfjs-core';
import { picture } from './picture';
import { sampleRing } from './remote';
import { runCheckerboard } from './run-checkerboard';

tf.env().set('IS_TEST', true); // tfjs' advice to install its native backend is beside the point here
await tf.setBackend('wasm');

console.log('1. A checkerboard flow, tuned by GRPO to stay in the right half\n');
const { before, after, elapsed } = runCheckerboard((line) => console.log(line));
for (const [title, run] of [
  ['before', before],
  ['after', after],
] as const) {
  console.log(
    `\n${title}: reward ${run.reward.toFixed(3)}, on the board ${run.board.toFixed(3)}, ${run.squares} squares in use`,
  );
  console.log(picture(run.points));
}
console.log(`\n${elapsed.toFixed(1)} s in all on the backend wasm`);

console.log('\n2. A model that is an asynchronous function of plain arrays\n');
for (const noiseLevel of [0, 0.7]) {
  const { onRing, logProbs } = await sampleRing(300, noiseLevel, 5);
  console.log(
    `noise level ${noiseLevel}: ${(100 * onRing).toFixed(1)} % on the ring, ${logProbs.length} steps with log-probabilities`,
  );
}
