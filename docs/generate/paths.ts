import { marginalDensity, mixtures } from '../sampler-demo/mixture';
import { bins, extent, histogram, marginalError, simulate } from '../sampler-demo/simulate';
import { at, axes, COLOURS, INK, line, type Panel, picture } from './svg';

const SHOWN = 40;

/** The same flow sampled at growing noise levels: the ways differ, where they end does not. */
export function pathsPicture(): string {
  const levels = [0, 0.4, 0.7, 1];
  const mixture = mixtures.blobs!;
  const parts = levels.flatMap((noiseLevel, i) => {
    const run = simulate({ mixture, rule: 'sde', noiseLevel, steps: 48, particles: 8000, seed: 3 });
    const left = 40 + 225 * i;
    const plot: Panel = { left, top: 34, width: 140, height: 220, x: [0, 1], y: [-extent, extent] };
    const beside: Panel = { ...plot, left: left + 146, width: 46, x: [0, 0.75] };
    const ways = Array.from({ length: SHOWN }, (_, k) =>
      line(
        plot,
        run.frames.map((frame, f) => [run.times[f]!, frame[2 * k]!] as const),
        `stroke="${COLOURS[0]}" stroke-opacity="0.55" stroke-width="1"`,
      ),
    );
    const width = (2 * extent) / bins;
    const bars = histogram(run.frames.at(-1)!).map((density, b) => {
      const [x0, y1] = at(beside, 0, -extent + (b + 1) * width);
      const [x1, y0] = at(beside, density, -extent + b * width);
      return `<rect x="${x0}" y="${y1}" width="${x1 - x0}" height="${y0 - y1}" fill="${COLOURS[2]}" fill-opacity="0.6"/>`;
    });
    const exact = Array.from({ length: 121 }, (_, s) => -extent + (s / 120) * 2 * extent).map(
      (y) => [marginalDensity(mixture, 1, y), y] as const,
    );
    const error = marginalError(mixture, run.frames.at(-1)!, 1);
    const title = noiseLevel === 0 ? 'noise level 0: the ODE' : `noise level ${noiseLevel}`;
    return [
      axes(plot, title, { x: [0, 1], y: i === 0 ? [-2, 0, 2] : [], xLabel: 't: noise → data' }),
      ...ways,
      ...bars,
      line(beside, exact, `stroke="${INK}" stroke-width="1.5"`),
      `<text x="${left + 192}" y="322" text-anchor="end" fill="${COLOURS[2]}">${(100 * error).toFixed(1)} % off</text>`,
    ];
  });
  return picture(
    930,
    335,
    'Forty ways from noise to data at four noise levels, and how eight thousand end, beside the exact density',
    parts,
  );
}
