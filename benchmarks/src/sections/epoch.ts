/** The recipe's epoch as a whole, by the trainer itself: rollout, decoding, PickScore, update. */
import { type Execution, observeExecutions } from '@flow-grpo/tfjs-backend-xla';
import { peakMemory } from '../device';
import { imagesOf, withRecipe } from '../model/recipe';
import { report } from '../reporting';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** The first compiles, the last is observed. */
const EPOCHS = 4;

export async function epoch(workload: Workload): Promise<void> {
  await withRecipe(workload, async (run) => {
    const executions: Execution[] = [];
    let stop: (() => void) | undefined;
    const started = performance.now();
    const seen = await run({
      epochs: EPOCHS,
      onEpoch: ({ epoch }) => {
        if (epoch === 0) report('epoch.first', { ms: performance.now() - started });
        if (epoch === EPOCHS - 2) stop = observeExecutions((execution) => executions.push(execution));
      },
    });
    stop?.();
    const warm = seen.slice(1, -1);
    const median = (name: string) => summary(warm.map((metrics) => metrics[name]!)).ms;
    const times = summary(warm.map(({ seconds }) => 1000 * seconds!));
    const images = imagesOf(workload);
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
    report('epoch.profile', { seconds: seen.at(-1)!.seconds, programs: await profile(executions) });
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
  return Object.fromEntries(
    rows.map(([name, { seconds, calls }]) => [name, { seconds: Number(seconds.toPrecision(3)), calls }]),
  );
}
