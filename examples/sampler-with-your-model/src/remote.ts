import { type AsyncVelocity, sampleTrajectoryAsync, shiftedSchedule } from '@flow-grpo/sde-sampler';

/**
 * A model that is no tfjs operation: plain arrays in, a promise of plain arrays out, as with ONNX Runtime, a worker
 * or a server. This one knows the exact velocity towards a ring of radius 1.5 and thickness 0.2 by averaging
 * over 64 points of it.
 */
export async function ringModel(x: Float32Array, t: number): Promise<Float32Array> {
  const centres = Array.from({ length: 64 }, (_, k) => (2 * Math.PI * k) / 64).map((angle) => [
    1.5 * Math.cos(angle),
    1.5 * Math.sin(angle),
  ]);
  const variance = (1 - t) ** 2 + (0.2 * t) ** 2;
  const gain = (t * 0.2 ** 2 - (1 - t)) / variance;
  const out = new Float32Array(x.length);
  for (let i = 0; i < x.length; i += 2) {
    const squares = centres.map(([cx, cy]) => (x[i]! - t * cx!) ** 2 + (x[i + 1]! - t * cy!) ** 2);
    const nearest = Math.min(...squares);
    const weights = squares.map((square) => Math.exp((nearest - square) / (2 * variance)));
    const total = weights.reduce((sum, w) => sum + w, 0);
    centres.forEach(([cx, cy], k) => {
      const share = weights[k]! / total;
      out[i]! += share * (cx! + gain * (x[i]! - t * cx!));
      out[i + 1]! += share * (cy! + gain * (x[i + 1]! - t * cy!));
    });
  }
  return out;
}

/** Samples from the ring with log-probabilities. Returns the share of points within 0.5 of it. */
export async function sampleRing(count: number, noiseLevel: number, seed: number) {
  const velocity: AsyncVelocity = async (x, _t, { time }) =>
    ringModel((await x.data()) as Float32Array, time);
  const run = await sampleTrajectoryAsync(velocity, {
    schedule: shiftedSchedule(16, 2),
    shape: [count, 2],
    noiseLevel,
    seed,
  });
  const points = await run.final.data();
  let near = 0;
  for (let i = 0; i < points.length; i += 2) {
    if (Math.abs(Math.hypot(points[i]!, points[i + 1]!) - 1.5) < 0.5) near++;
  }
  const logProbs = await Promise.all(run.logProbs.map(async (each) => [...(await each!.data())]));
  return { onRing: near / count, logProbs };
}
