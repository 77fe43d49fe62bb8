/**
 * What kills.long.test.ts runs in each of two real processes: a training whose processes meet at the coordinator, for scores,
 * signals and checkpoints. XLA for CPUs computes in one process, so each holds and computes everything, which must agree.
 */
import { createHash } from 'node:crypto';
import { joinCluster } from '@flow-grpo/pjrt';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { gaussianFlow } from '../policies/gaussian-flow';
import type { ProcessGroup } from '../process-group';
import { train } from '../train';
import { checkpointFolder } from './checkpoint-folder';

const [coordinator, id, folder, epochs] = process.argv.slice(2) as [string, string, string, string];
const cluster = await joinCluster({
  ...{ coordinator, processId: Number(id), numProcesses: 2 },
  secret: 'a secret of tests',
});
const group: ProcessGroup = {
  processId: cluster.processId,
  numProcesses: 2,
  async gatherJson<T>(name: string, value: T): Promise<T[]> {
    const all = await cluster.gatherJson(name, value);
    if (!name.startsWith('scores of ')) return all;
    if (JSON.stringify(all[0]) !== JSON.stringify(all[1])) throw new Error(`${name} differ`);
    return [value];
  },
};
configure({ platform: 'cpu' });
await tf.setBackend('xla');
const {
  trained,
  ema,
  epochs: reached,
} = await train({
  policy: gaussianFlow({ prompts: ['red', 'blue'], mean: [0.2, 0.2], std: 0.2 }),
  prompts: [{ prompt: 'red' }, { prompt: 'blue' }],
  scorer: {
    name: 'first coordinate',
    async score(images, prompts) {
      const pixels = await (images as tf.Tensor4D).data();
      return { scores: prompts.map((prompt, i) => pixels[3 * i + (prompt === 'red' ? 0 : 1)]!), details: {} };
    },
  },
  config: {
    epochs: Number(epochs),
    saveEvery: 1,
    keepCheckpoints: 2,
    sampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 },
    divergence: { action: 'off' },
    hacking: { action: 'off' },
  },
  group,
  store: checkpointFolder(folder, {}, group),
  resume: 'auto',
  onEpoch: ({ epoch }) => void process.stdout.write(`epoch ${epoch}\n`),
});
const digest = createHash('sha256');
for (const value of [...Object.values(trained), ...Object.values(ema)]) {
  digest.update(new Uint8Array((await value.data<'float32'>()).slice().buffer));
}
process.stdout.write(`weights ${reached} ${digest.digest('hex')}\n`);
cluster.leave();
process.exit(0);
