/** PickScore on decoded images: from pixels on the device to numbers on the host. */
import { join } from 'node:path';
import { pickScore } from '@flow-grpo/rewards';
import { random } from '@flow-grpo/tfjs-jit';
import type * as tf from '@tensorflow/tfjs-core';
import { peakMemory } from '../device';
import { writeClip } from '../model/checkpoints';
import { prompts } from '../model/policy';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { summary } from '../timing';
import type { Workload } from '../workload';

export async function scorer(workload: Workload): Promise<void> {
  const { batch, rounds, showo2 } = workload;
  await inTemporaryFolder(async (root) => {
    const folder = join(root, 'pickscore');
    await writeClip(workload, folder);
    const side = showo2.gridHeight * showo2.patchSize * 8;
    const images = random.uniform(random.key(5), [batch, side, side, 3]) as tf.Tensor4D;
    const texts = prompts(workload, batch);
    for (const dtype of ['float32', 'bfloat16'] as const) {
      const started = performance.now();
      const judge = await pickScore({ model: folder, dtype });
      const loadSeconds = (performance.now() - started) / 1000;
      const samples: number[] = [];
      let scores: readonly number[] = [];
      for (let i = 0; i < rounds + 1; i++) {
        const start = performance.now();
        ({ scores } = await judge.score(
          images,
          texts,
          texts.map(() => ({})),
        ));
        if (i > 0) samples.push(performance.now() - start);
      }
      report(dtype === 'float32' ? 'scorer.images' : 'scorer.imagesNarrow', {
        ...summary(samples),
        ...peakMemory(),
        loadSeconds,
        images: batch,
        finite: scores.every(Number.isFinite),
      });
      judge.dispose();
    }
  });
}
