/**
 * Where an epoch's time goes: programs on the device (rollout, decode, update), and the rest, in which the host works or
 * waits for rewards; with scoring overlapped and not. Then weak scaling: twice the images on twice the devices. Those are
 * virtual devices that share one CPU, so at best an image costs what it costs on one.
 *
 *     npx nx bench flow-grpo [--json file]
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { train } from '@flow-grpo/grpo-trainer';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { profiler } from 'flow-grpo/profile';
import { smallShowo2 } from './model.mjs';

const STEPS = 12;
const TRAINED = 4;
const GROUP = 16;
const WARM_EPOCHS = 4;
/** Programs that the parts of an epoch consist of. */
const PARTS = {
  rollout: ['rollout', 'encodeText'],
  decode: ['decode'],
  update: ['zeroGradients', 'gradientPass', 'optimizerStep'],
};

configure({ devices: 4 });
await tf.setBackend('xla');
const policy = smallShowo2();
const prompts = Array.from({ length: 16 }, (_, i) => ({ prompt: `scene ${i}` }));

/** Mean brightness, after a wait that stands for a reward model elsewhere. */
const scorer = (milliseconds) => ({
  name: 'brightness',
  async score(images) {
    const pixels = await images.data();
    await sleep(milliseconds);
    const size = pixels.length / images.shape[0];
    const mean = (i) => pixels.subarray(i * size, (i + 1) * size).reduce((a, b) => a + b, 0) / size;
    return { scores: Array.from({ length: images.shape[0] }, (_, i) => mean(i)), details: {} };
  },
});

/** Mean seconds of an epoch and of its parts, after one that compiles. */
async function measure(name, { devices = 1, images = 128, batchSize = images, wait = 0, overlap = true }) {
  const watcher = profiler();
  let epochs = 0;
  const result = await train({
    policy,
    prompts,
    scorer: watcher.watch(scorer(wait)),
    overlapRewards: overlap,
    config: {
      epochs: 1 + WARM_EPOCHS,
      devices,
      sampling: {
        numSteps: STEPS,
        promptsPerEpoch: images / GROUP,
        samplesPerPrompt: GROUP,
        batchSize,
        window: { start: 1, end: 1 + TRAINED },
      },
      grpo: { clipRange: 1e-3 },
    },
    onProgress: ({ phase }) => watcher.onPhase(phase),
    onEpoch: () => {
      if (epochs++ === 0) watcher.start();
      else watcher.onEpoch();
    },
  });
  tf.dispose([result.trained, result.ema]);
  const { secondsPerEpoch: total, rows } = await watcher.finish();
  const sum = (kind, names) =>
    rows
      .filter((row) => row.kind === kind && (names?.includes(row.what) ?? true))
      .reduce((all, { seconds }) => all + seconds, 0);
  const parts = Object.fromEntries(
    Object.entries(PARTS).map(([part, names]) => [part, sum('program', names)]),
  );
  const idle = sum('idle');
  const busy = Object.values(parts).reduce((a, b) => a + b, 0);
  return {
    name,
    devices,
    images,
    overlap,
    seconds: { total, ...parts, 'other programs': total - busy - idle, idle, scoring: sum('scoring') },
    imagesPerSecond: images / total,
  };
}

const split = [
  await measure('one batch', {}),
  await measure('four batches', { batchSize: 32 }),
  await measure('four, reward 0.2 s, overlapped', { batchSize: 32, wait: 200 }),
  await measure('four, reward 0.2 s, one by one', { batchSize: 32, wait: 200, overlap: false }),
];
const scaling = [];
for (const devices of [1, 2, 4]) {
  const result = await measure(`${devices} × 64 images`, { devices, images: 64 * devices });
  scaling.push({
    ...result,
    costOfAnImage: scaling.length === 0 ? 1 : scaling[0].imagesPerSecond / result.imagesPerSecond,
  });
}

const table = (rows) =>
  console.table(
    rows.map(({ name, seconds, imagesPerSecond, costOfAnImage }) => ({
      name,
      ...Object.fromEntries(Object.entries(seconds).map(([key, value]) => [key, Number(value.toFixed(3))])),
      'images/s': Number(imagesPerSecond.toPrecision(3)),
      ...(costOfAnImage && { 'cost of an image': Number(costOfAnImage.toPrecision(3)) }),
    })),
  );
table(split);
table(scaling);
const report = {
  benchmark: 'grpo-trainer epoch',
  date: new Date().toISOString(),
  machine: `${cpus().length} × ${cpus()[0].model}`,
  /** Processes that wanted a core, at the end: beyond 2 or so of the benchmark's own, others took part of the time. */
  load: loadavg()[0],
  device: deviceInfo()[0].kind,
  node: process.version,
  steps: STEPS,
  trained: TRAINED,
  group: GROUP,
  epochs: WARM_EPOCHS,
  split,
  scaling,
};
const at = process.argv.indexOf('--json');
if (at > 0) writeFileSync(process.argv[at + 1], `${JSON.stringify(report, null, 2)}\n`);
