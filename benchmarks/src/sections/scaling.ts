/** Weak scaling: the recipe's epoch on one device and, with twice the images, on two. */
import { deviceInfo } from '@flow-grpo/tfjs-jit';
import { imagesOf, withRecipe } from '../model/recipe';
import { report } from '../reporting';
import { summary } from '../timing';
import type { Workload } from '../workload';

/** The first compiles. */
const EPOCHS = 3;

export async function scaling(workload: Workload): Promise<void> {
  if (deviceInfo().length < 2) {
    console.log('scaling needs two devices; there is one');
    return;
  }
  await withRecipe(workload, async (run) => {
    const rates: number[] = [];
    for (const devices of [1, 2]) {
      const seen = await run({ epochs: EPOCHS, devices });
      const times = summary(seen.slice(1).map(({ seconds }) => 1000 * seconds!));
      rates.push((1000 * imagesOf(workload, devices)) / times.ms);
      report(devices === 1 ? 'scaling.one' : 'scaling.two', { ...times, imagesPerSecond: rates.at(-1) });
    }
    report('scaling.efficiency', { share: rates[1]! / (2 * rates[0]!) });
  });
}
