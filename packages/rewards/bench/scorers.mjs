/**
 * Images a second of each local scorer, from a tensor on the backend to numbers, on scenes of 432 × 432 pixels
 * (shapeEval: of 64 and 128); CLIP also from PNG files, whose preprocessing stays on the host, and beside PyTorch
 * where Python has torch. Models have random weights: ViT-B/32 towers (ImageReward: ViT-B/16), or with
 * `--size published` those of the published checkpoints (up to 4 GB each).
 *
 *     npx nx bench rewards [--size published] [--batch 16] [--only clip] [--python python3] [--json file]
 *
 * Rates are those of the median run, on all cores; models in the device's own precision unless the row says
 * otherwise. The processor time of an image says something on a busy machine too: run all on one core to compare
 * it (`OMP_NUM_THREADS=1 taskset -c 0 node bench/scorers.mjs`), since threads that wait by spinning count as busy.
 */
import '@flow-grpo/tfjs-backend-xla';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import * as rewards from '@flow-grpo/rewards';
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { TOWERS, writeAestheticHead, writeBlip, writeClip, writeOpenClip } from './random-models.mjs';

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: 'base' },
    batch: { type: 'string', default: '16' },
    only: { type: 'string', default: '' },
    python: { type: 'string', default: 'python3' },
    json: { type: 'string' },
  },
});
if (flags.size !== 'base' && flags.size !== 'published') throw new Error('--size is base or published');
const batch = Number(flags.batch);
const published = flags.size === 'published';
const SIDE = 432;
/** At least so many runs, and for at least so long, after the first one, which compiles. */
const RUNS = 3;
const MILLISECONDS = 3000;

if (!(await tf.setBackend('xla'))) throw new Error('the XLA backend does not start: npx pjrt doctor');
const root = mkdtempSync(join(tmpdir(), 'rewards-bench-'));
const rows = [];

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

/** Adds a row from the milliseconds of its runs, and from the processor's milliseconds of all of them. */
function report(scorer, images, times, cpu, more = {}) {
  const msPerBatch = median(times);
  const imagesPerSecond = (1000 * images) / msPerBatch;
  const cpuMsPerImage = cpu / times.length / images;
  rows.push({ scorer, images, runs: times.length, msPerBatch, imagesPerSecond, cpuMsPerImage, ...more });
  console.log(`${scorer}: ${imagesPerSecond.toPrecision(3)} images/s`);
}

const wanted = (name) => name.toLowerCase().includes(flags.only.toLowerCase());

/** Times a scorer; models are made when their turn comes and freed after it. */
async function measure(name, make, { images, prompts, metadata }, more) {
  if (!wanted(name)) return;
  const scorer = await make();
  const times = [];
  await scorer.score(images, prompts, metadata);
  const before = process.cpuUsage();
  for (const end = performance.now() + MILLISECONDS; times.length < RUNS || performance.now() < end; ) {
    const start = performance.now();
    await scorer.score(images, prompts, metadata);
    times.push(performance.now() - start);
  }
  const { user, system } = process.cpuUsage(before);
  scorer.dispose?.();
  report(name, prompts.length, times, (user + system) / 1000, more);
}

/** Scenes of one size with their prompts. */
function scenes(size, count) {
  const { images, shape, prompts, metadata } = sceneBatch(shapeScenes({ size, seed: 1 }), 0, count);
  return { images: tf.tensor4d(images, shape), prompts, metadata };
}

/** The same scenes as PNG files, which are decoded and resized on the host. */
async function asFiles({ images, ...rest }) {
  const [count, height, width] = images.shape;
  const bytes = Uint8Array.from(await images.data(), (value) => Math.round(255 * value));
  const length = height * width * 3;
  const encode = async (i) => {
    const raw = { width, height, channels: 3 };
    return {
      bytes: await sharp(bytes.subarray(i * length, (i + 1) * length), { raw })
        .png()
        .toBuffer(),
    };
  };
  return { ...rest, images: await Promise.all(Array.from({ length: count }, (_, i) => encode(i))) };
}

/** The same CLIP in PyTorch; says so where there is none. */
function measureTorch(size) {
  const name = 'PyTorch CLIP';
  if (!wanted(name)) return;
  const script = fileURLToPath(new URL('./clip_torch.py', import.meta.url));
  for (const dtype of ['float32', 'bfloat16']) {
    const given = JSON.stringify({ ...TOWERS[size], dtype, batch, side: SIDE, ms: MILLISECONDS, runs: RUNS });
    const { status, stdout, stderr, error } = spawnSync(flags.python, [script, given], { encoding: 'utf8' });
    if (status !== 0) {
      const absent = error?.code === 'ENOENT' || /No module named 'torch'/.test(stderr ?? '');
      torch = absent ? `${flags.python} has no torch` : `${error?.message ?? stderr}`.trim();
      console.log(`${name}: not measured: ${torch}`);
      return;
    }
    const { version, device, times, cpu } = JSON.parse(stdout);
    torch = version;
    report(`${name}, ${dtype}`, batch, times, cpu, { towers: size, device });
  }
}

let torch = 'not asked for';
try {
  for (const size of [64, 128]) {
    const data = scenes(size, 128);
    await measure(`shapeEval, ${size} pixels`, rewards.shapeEval, data);
    data.images.dispose();
  }
  const data = scenes(SIDE, batch);
  await measure('jpegCompressibility', rewards.jpegCompressibility, data);
  const quoting = { ...data, prompts: data.prompts.map(() => 'a sign "OPEN"') };
  await measure('ocr', rewards.ocr, quoting);

  const small = published ? 'large' : 'base';
  const big = published ? 'huge' : 'base';
  const common = { batchSize: batch };
  const model = await writeClip(root, small);
  const files = await asFiles(data);
  for (const dtype of ['float32', 'bfloat16']) {
    const make = () => rewards.clipScore({ model, dtype, ...common });
    await measure(`clipScore, ${dtype}`, make, data, { towers: small });
    await measure(`clipScore of PNG files, ${dtype}`, make, files, { towers: small });
  }
  measureTorch(small);
  const head = await writeAestheticHead(root, small);
  await measure('aesthetic', () => rewards.aesthetic({ model, head, ...common }), data, { towers: small });
  const pickScore = async () => rewards.pickScore({ model: await writeClip(root, big), ...common });
  await measure('pickScore', pickScore, data, { towers: big });
  const imageReward = async () => rewards.imageReward({ ...(await writeBlip(root, small)), ...common });
  await measure('imageReward', imageReward, data, { towers: small });
  const hpsv2 = async () => rewards.hpsv2({ ...(await writeOpenClip(root, big)), ...common });
  await measure('hpsv2', hpsv2, data, { towers: big });
} finally {
  rmSync(root, { recursive: true });
}

console.table(
  rows.map(({ scorer, images, msPerBatch, imagesPerSecond, cpuMsPerImage, towers = '' }) => ({
    scorer,
    images,
    towers,
    'ms a batch': Number(msPerBatch.toPrecision(3)),
    'images/s': Number(imagesPerSecond.toPrecision(3)),
    'processor ms an image': Number(cpuMsPerImage.toPrecision(3)),
  })),
);
const result = {
  benchmark: 'rewards',
  machine: `${cpus().length} × ${cpus()[0].model}`,
  device: deviceInfo()[0].kind,
  node: process.version,
  torch,
  side: SIDE,
  rows,
};
console.log(JSON.stringify(result));
if (flags.json) writeFileSync(flags.json, `${JSON.stringify(result, null, 2)}\n`);
