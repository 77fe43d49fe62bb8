/** From `node` to the first images' latents, with an empty and with a filled compilation cache. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TextTokenizer } from '@flow-grpo/showo2-model';
import { loadShowo2 } from '@flow-grpo/showo2-model/node';
import { compilationStats } from '@flow-grpo/tfjs-backend-xla';
import { jit, random } from '@flow-grpo/tfjs-jit';
import * as tf from '@tensorflow/tfjs-core';
import { peakMemory, startDevice } from '../device';
import { runInner } from '../inner';
import { writeShowo2 } from '../model/checkpoints';
import { rollOut, stackedSteps } from '../model/denoising';
import { policyOf, prompts } from '../model/policy';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { finished } from '../timing';
import type { Workload } from '../workload';

const LIMIT = 300;

/** Has a checkpoint written, then starts this program twice from nothing with a compilation cache of its own. */
export async function startup(): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const cache = join(folder, 'cache');
    mkdirSync(cache);
    const [write] = await runInner('startupFiles', { folder, limit: LIMIT });
    for (const kind of ['cold', 'warm'] as const) {
      const started = performance.now();
      const env = { FLOW_GRPO_XLA_CACHE: cache };
      const [first] = await runInner('firstRollout', { folder, limit: LIMIT, env, quiet: true });
      const { engine: _engine, case: _case, ...steps } = first!;
      report(`startup.${kind}`, {
        ms: performance.now() - started,
        gigabytesPerSecond: Number(write!.gigabytes) / Number(steps.loadSeconds),
        ...steps,
      });
    }
  });
}

/** Show-o2 and its VAE in `folder`/showo2. */
export async function startupFiles(workload: Workload, folder: string): Promise<void> {
  await startDevice();
  const writing = performance.now();
  const bytes = await writeShowo2(workload, join(folder, 'showo2'));
  report('startup.write', { gigabytes: bytes / 1e9, seconds: (performance.now() - writing) / 1000 });
}

/** What the started program does; seconds are counted from the start of its process. */
export async function firstRollout(workload: Workload, folder: string): Promise<void> {
  const seconds = () => performance.now() / 1000;
  await startDevice();
  const deviceAt = seconds();
  const { tokens, vocabSize } = workload.showo2;
  const tokenizer: TextTokenizer = { tokens, vocabSize, encode: () => [], decode: () => '' }; // prompts come as ids
  const parts = await loadShowo2(join(folder, 'showo2'), { dtype: workload.storage, tokenizer });
  const policy = policyOf(workload, parts.params, parts.vae.params);
  await finished(policy.params['showo.model.norm.weight']!);
  const loadedAt = seconds();
  const condition = policy.encodePrompts(prompts(workload, workload.batch));
  const encodedAt = seconds();
  const trained = Object.fromEntries(policy.trainable.map((name) => [name, policy.params[name]!]));
  const rows = tf.range(0, workload.batch, 1, 'int32') as tf.Tensor1D;
  const steps = stackedSteps(workload);
  const whole = jit(
    (weights: typeof trained, given: typeof condition, key: tf.Tensor) =>
      rollOut(policy, weights, given, rows, steps, key).latents,
    { name: 'rollout' },
  );
  await finished(whole(trained, condition, random.key(1)));
  report('startup.first', {
    deviceAt,
    loadedAt,
    encodedAt,
    rolloutAt: seconds(),
    loadSeconds: loadedAt - deviceAt,
    ...compilationStats(),
    ...peakMemory(),
  });
}
