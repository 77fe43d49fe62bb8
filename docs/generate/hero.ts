import { mixtures } from '../sampler-demo/mixture';
import { simulate } from '../sampler-demo/simulate';

const SIZE = 420;
const HALF = 2.5;
const SHOWN = 90;

/** The picture of the first page: particles on their ways from noise (violet) to a ring (amber), with noise. */
export function heroPicture(): string {
  const run = simulate({
    mixture: mixtures.ring!,
    rule: 'sde',
    noiseLevel: 0.3,
    steps: 48,
    particles: 700,
    seed: 5,
  });
  const place = (value: number) => Math.round((SIZE / 2 + (value / HALF) * (SIZE / 2)) * 10) / 10;
  const point = (frame: number, i: number) =>
    `${place(run.frames[frame]![2 * i]!)} ${place(-run.frames[frame]![2 * i + 1]!)}`;
  const last = run.frames.length - 1;
  // One path a step, since a line has one colour.
  const ways = Array.from({ length: last }, (_, f) => {
    const moves = Array.from({ length: SHOWN }, (_, i) => `M${point(f, i)}L${point(f + 1, i)}`);
    return `<path d="${moves.join('')}" stroke-width="1.4" stroke="${colour(f / last)}" stroke-opacity="${0.25 + (0.4 * f) / last}"/>`;
  });
  const dots = run.frames[last]!.length / 2;
  const ends = Array.from({ length: dots }, (_, i) => `M${point(last, i)}h0`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" fill="none" stroke-linecap="round">
${ways.join('\n')}
<path d="${ends.join('')}" stroke="${colour(1)}" stroke-width="4.4"/>
</svg>
`;
}

const [FROM, TO] = [
  [111, 92, 240],
  [224, 145, 45],
] as const;

const colour = (share: number) =>
  `rgb(${FROM.map((channel, i) => Math.round(channel + (TO[i]! - channel) * share)).join(' ')})`;
