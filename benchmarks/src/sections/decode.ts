/** Latents to images. */

import { showo2LatentShape } from '@flow-grpo/showo2-model';
import { jit, random } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import { decodeShowo2Images } from 'flow-grpo';
import { compile } from '../compiling';
import { peakMemory } from '../device';
import { vaeParams } from '../model/policy';
import { report } from '../reporting';
import { timed } from '../timing';
import type { Workload } from '../workload';

export async function decode(workload: Workload): Promise<void> {
  const { batch, rounds } = workload;
  const params = await vaeParams(workload);
  const latents = random.normal(random.key(3), [batch, ...showo2LatentShape(workload.showo2)]);
  const run = jit(
    (weights: typeof params, z: tf.Tensor) => decodeShowo2Images({ config: workload.vae, params: weights }, z),
    {
      name: 'decode',
    },
  );
  const cost = await compile(run, params, latents);
  const times = await timed(() => run(params, latents), { rounds });
  report('decode.images', {
    ...times,
    ...cost,
    ...peakMemory(),
    images: batch,
    imagesPerSecond: (1000 * batch) / times.ms,
  });
}
