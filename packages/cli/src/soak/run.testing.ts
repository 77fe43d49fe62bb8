/**
 * A run as a process of its own, which gets its rewards from a server: `node --expose-gc run.testing.mjs JSON`, see
 * `SoakProcess`. Prints one line per epoch, and one of its memory every tenth.
 */

import { rewardServerClient } from '@flow-grpo/rewards';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';
import { useBackend } from '../commands/shared';
import { trainRun } from '../run/train-run';
import { readRunFile } from '../run-file/read';
import { makeSetup } from '../setup/make-setup';
import { fillDisk } from './full-disk.testing';
import type { SoakProcess } from './soak.testing';

/** Epochs between two looks at the memory: a collection of the whole heap takes longer than an epoch of the toy recipe. */
const LOOK_EVERY = 10;

const { file, overrides, url, diskBytes }: SoakProcess = JSON.parse(process.argv[2]!);
if (diskBytes !== undefined) fillDisk(diskBytes);
const run = await readRunFile(file, overrides);
configure({ platform: 'cpu' });
await useBackend('xla', run.config.devices);
const { evalPrompts: _, ...setup } = await makeSetup(run.setup);
const scorer = rewardServerClient({ url, retries: 8, pause: 5 });
const { reason } = await trainRun(
  run,
  { ...setup, scorer },
  {
    onEpoch: ({ epoch }) => {
      console.log(`epoch ${epoch}`);
      if (epoch % LOOK_EVERY !== 0) return;
      globalThis.gc!();
      const { rss, heapUsed, external } = process.memoryUsage();
      console.log(
        `memory ${JSON.stringify({ resident: rss, heap: heapUsed + external, tensors: tf.memory().numTensors })}`,
      );
    },
  },
);
console.log(`ended: ${reason}`);
