/** A run whose decoder takes XLA minutes to compile, in a process of its own: prints the names of what is compiled. */
import '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { gaussianFlow } from '../../policies/gaussian-flow';
import { train } from '../../train';
import { checkpointFolder } from '../checkpoint-folder';
import { abortOnSignals } from '../signals';

const [output] = process.argv.slice(2) as [string];
await tf.setBackend('xla');
const policy = gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2], std: 0.2 });
const { signal } = abortOnSignals();
const { reason } = await train({
  policy: {
    ...policy,
    decode(latents) {
      let x = policy.decode(latents) as tf.Tensor;
      for (let i = 0; i < 20_000; i++) x = i % 2 === 0 ? tf.tanh(x) : tf.sin(x);
      return x as tf.Tensor4D;
    },
  },
  prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
  scorer: (images) => new Array(images.shape[0]).fill(0),
  config: { epochs: 2, sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 } },
  store: checkpointFolder(output),
  signal,
  onCompile: (names) => console.log(`compiling ${names.join(', ')}`),
});
console.log(reason);
