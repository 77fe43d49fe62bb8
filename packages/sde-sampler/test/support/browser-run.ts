import { sampleTrajectory, sampleTrajectoryAsync, shiftedSchedule } from '../../src/index';
import { mixtureVelocity, threeBlobs } from './mixture';

/** The same run in Node and in a browser: plain numbers. */
export async function browserRun() {
  const options = { schedule: shiftedSchedule(12, 3), shape: [5, 2], seed: 17, noiseLevel: 0.7 };
  const velocity = mixtureVelocity(threeBlobs);
  const run = sampleTrajectory(velocity, options);
  const later = await sampleTrajectoryAsync(async (x, t, info) => velocity(x, t, info), options);
  return {
    final: [...(await run.final.data())],
    later: [...(await later.final.data())],
    logProbs: run.logProbs.map((each) => [...each!.dataSync()]),
    steps: run.steps,
  };
}
