import { planSteps, shiftedSchedule, trainableSteps } from '@flow-grpo/sde-sampler';
import { at, axes, COLOURS, type Panel, picture, text } from './svg';

const STEPS = 12;

/** The noise that each of the recipe's twelve steps adds, for the SDE and for CPS. */
export function stepNoisePicture(): string {
  const schedule = shiftedSchedule(STEPS, 3);
  const plans = [
    ['Flow-GRPO SDE, noise level 0.7', { rule: 'sde', noiseLevel: 0.7 }],
    ['CPS, noise level 0.8', { rule: 'cps', noiseLevel: 0.8 }],
  ] as const;
  const parts = plans.flatMap(([title, plan], i) => {
    const plot: Panel = {
      left: 50 + 400 * i,
      top: 34,
      width: 340,
      height: 190,
      x: [-0.5, STEPS - 0.5],
      y: [0, 1],
    };
    const trained = new Set(trainableSteps(schedule, plan));
    const bars = planSteps(schedule, plan).flatMap(({ std }, step) => {
      const [x, y] = at(plot, step, std);
      const bottom = plot.top + plot.height;
      if (!trained.has(step)) return [text(x, bottom - 6, '–', 'text-anchor="middle"')];
      return [
        `<rect x="${x - 10}" y="${y}" width="20" height="${bottom - y}" rx="2" fill="${COLOURS[i]}"/>`,
        text(x, y - 4, std.toFixed(2), 'text-anchor="middle" font-size="12"'),
      ];
    });
    return [
      axes(plot, title, {
        x: Array.from({ length: STEPS }, (_, step) => step),
        y: [0, 0.5, 1],
        xLabel: 'step (shift 3)',
      }),
      ...bars,
    ];
  });
  return picture(
    850,
    285,
    'Standard deviation of the noise of each of twelve steps; a dash marks steps that cannot train',
    parts,
  );
}
