/**
 * A run of the toy recipe as a process of its own, which gets its rewards from a server:
 * `node run.testing.mjs FOLDER URL EPOCHS [DISK_BYTES]`. With the last argument the disk is full after so many bytes.
 * Prints one line per epoch with the bytes of memory it has.
 */

import { rewardServerClient } from '@flow-grpo/rewards';
import { trainRun } from '../run/train-run';
import { resolveRunFile } from '../run-file/schema';
import { startBackend } from '../setup/testing/start-xla';
import { toySetup } from '../setup/toy';
import { fillDisk } from './full-disk.testing';

const [output, url, epochs, diskBytes] = process.argv.slice(2) as [string, string, string, string?];
if (diskBytes !== undefined) fillDisk(Number(diskBytes));
await startBackend();
const run = resolveRunFile({
  output,
  epochs: Number(epochs),
  saveEvery: 3,
  keepCheckpoints: 2,
  evalEvery: 1_000_000,
  sampling: { numSteps: 4, promptsPerEpoch: 4, samplesPerPrompt: 4, batchSize: 8 },
  training: { learningRate: 1e-3 },
});
const { evalPrompts: _, ...toy } = toySetup();
const server = rewardServerClient({ url, retries: 8, pause: 5 });
const scorer: typeof server = {
  ...server,
  async score(...given) {
    const scores = await server.score(...given);
    console.log(`memory ${process.memoryUsage().rss}`);
    return scores;
  },
};
const reason = await trainRun(run, { ...toy, scorer });
console.log(`ended: ${reason}`);
