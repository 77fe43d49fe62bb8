/** The pickscore recipe's epoch as a whole, by the trainer itself: rollout, decoding, PickScore, update. */
import { join } from 'node:path';
import { type EpochMetrics, type GrpoConfigInput, train } from '@flow-grpo/grpo-trainer';
import { pickScore } from '@flow-grpo/rewards';
import { cast, type Execution, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import { peakMemory } from '../device';
import { writeClip } from '../model/checkpoints';
import { policyOf, prompts, showo2Params, vaeParams } from '../model/policy';
import { report } from '../reporting';
import { inTemporaryFolder } from '../temporary';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** One GPU's share of the recipe: a group of images of one prompt, two updates. */
const recipe = ({ batch, steps, noiseLevel, batchesPerEpoch, rowsPerPass }: Workload): GrpoConfigInput => ({
  epochs: 4,
  evalEvery: 1000,
  sampling: {
    numSteps: steps,
    noiseLevel,
    promptsPerEpoch: 1,
    samplesPerPrompt: batch * batchesPerEpoch,
    batchSize: batch,
  },
  training: { updatesPerEpoch: 2, batchSize: rowsPerPass, learningRate: 5e-6, clipRange: 1e-4 },
  ema: { enabled: true, interval: 8 },
  guard: { action: 'off' },
});

export async function epoch(workload: Workload): Promise<void> {
  await inTemporaryFolder(async (root) => {
    const folder = join(root, 'pickscore');
    await writeClip(workload, folder);
    const started = performance.now();
    const params = await showo2Params(workload);
    const scorer = await pickScore({
      model: folder,
      dtype: workload.storage === 'float32' ? 'float32' : 'bfloat16',
    });
    const policy = policyOf(workload, params, await vaeParams(workload));
    for (const name of policy.trainable) {
      const narrow = params[name]!;
      params[name] = cast(narrow, 'float32'); // training keeps float32 weights
      if (params[name] !== narrow) narrow.dispose();
    }
    const seen: EpochMetrics[] = [];
    const executions: Execution[] = [];
    let stop: (() => void) | undefined;
    const before = performance.now();
    await train({
      policy,
      scorer,
      prompts: prompts(workload, 2).map((prompt) => ({ prompt })),
      config: recipe(workload),
      onEpoch: (metrics) => {
        seen.push(metrics);
        const left = recipe(workload).epochs! - seen.length;
        if (seen.length === 1) {
          report('epoch.first', {
            ms: performance.now() - before,
            setupSeconds: (before - started) / 1000,
          });
        }
        if (left === 1) stop = observeExecutions((execution) => executions.push(execution));
      },
    });
    stop?.();
    // The first epoch compiles, the last one is observed.
    const warm = seen.slice(1, -1);
    const median = (name: string) => summary(warm.map((metrics) => metrics[name]!)).ms;
    const images = workload.batch * workload.batchesPerEpoch;
    const times = summary(warm.map(({ seconds }) => 1000 * seconds!));
    report('epoch.recipe', {
      ...times,
      ...peakMemory(),
      images,
      imagesPerSecond: (1000 * images) / times.ms,
      secondsRollout: median('secondsRollout'),
      secondsReward: median('secondsReward'),
      secondsUpdate: median('secondsUpdate'),
      maxLogProbMismatch: median('maxLogProbMismatch'),
      reward: median('reward'),
    });
    report('epoch.profile', { ...(await profile(executions)), seconds: seen.at(-1)!.seconds });
  });
}

/** Device seconds and calls by program, longest first: programs run one after the other. */
async function profile(executions: readonly Execution[]): Promise<Record<string, unknown>> {
  const programs = new Map<string, { seconds: number; calls: number }>();
  let free = 0;
  for (const { name, start, done } of executions) {
    const end = await done;
    const entry = programs.get(name) ?? { seconds: 0, calls: 0 };
    entry.seconds += Math.max(0, end - Math.max(start, free)) / 1000;
    entry.calls++;
    programs.set(name, entry);
    free = Math.max(free, end);
  }
  const rows = [...programs].sort(([, a], [, b]) => b.seconds - a.seconds).slice(0, 10);
  return {
    programs: Object.fromEntries(
      rows.map(([name, { seconds, calls }]) => [name, { seconds: Number(seconds.toPrecision(3)), calls }]),
    ),
  };
}
