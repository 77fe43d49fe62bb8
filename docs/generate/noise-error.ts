import { mixtures } from '../sampler-demo/mixture';
import { marginalError, simulate } from '../sampler-demo/simulate';
import { axes, COLOURS, legend, line, type Panel, picture } from './svg';

const LEVELS = [0, 0.4, 0.8, 1.2, 1.6];
const STEPS = [8, 12, 24, 48];

/** How far the samples are from the exact density as the noise level grows, for several numbers of steps. */
export function noiseErrorPicture(): string {
  const plot: Panel = { left: 70, top: 34, width: 520, height: 220, x: [0, 1.6], y: [0, 0.12] };
  const lines = STEPS.map((steps, i) => {
    const points = LEVELS.map((noiseLevel) => {
      const run = simulate({
        mixture: mixtures.spiral!,
        rule: 'sde',
        noiseLevel,
        steps,
        particles: 4000,
        seed: 7,
      });
      return [noiseLevel, marginalError(run.settings.mixture, run.frames.at(-1)!, 1)] as const;
    });
    return line(plot, points, `stroke="${COLOURS[i]}" stroke-width="2"`);
  });
  return picture(
    740,
    315,
    'Distance between samples and data against the noise level, for 8, 12, 24 and 48 steps',
    [
      axes(plot, 'Distance of the samples to the exact density', {
        x: LEVELS,
        y: [0, 0.05, 0.1],
        xLabel: 'noise level',
        percent: true,
      }),
      ...lines,
      legend(
        620,
        60,
        STEPS.map((steps) => `${steps} steps`),
      ),
    ],
  );
}
