/** The performance table of docs/measurements.md. */
import type { Measurement } from '../reporting';
import type { Results } from './results';

/** Cases that the page shows, in words. */
const SHOWN = {
  'rollout.step': 'denoising step, 8 images with guidance',
  'rollout.whole': 'rollout of 12 steps',
  'update.step': 'update, one timestep of 8 images',
  'update.optimizer': 'clipping and AdamW, 868 M parameters',
  'decode.images': 'WanVAE decode, 8 images',
  'epoch.recipe': 'epoch of the recipe, 16 images',
} as const;

const HEADINGS = ['', 'this repository', 'JAX', 'PyTorch', 'PyTorch / ours', 'JAX / ours'];

/** Markdown of a run's main cases, milliseconds side by side; what was not measured is left blank. */
export function readmeTable({ measurements }: Results): string {
  const rows = Object.entries(SHOWN).flatMap(([name, title]) => {
    const [ours, jax, torch] = (['ours', 'jax', 'torch'] as const).map((engine) =>
      timeOf(measurements, engine, name),
    );
    if (ours === undefined) return [];
    const over = (ms: number | undefined) => (ms === undefined ? '' : `${(ms / ours).toFixed(2)} ×`);
    return [[title, shown(ours), shown(jax), shown(torch), over(torch), over(jax)]];
  });
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [HEADINGS, HEADINGS.map((_, i) => (i === 0 ? '---' : '--:')), ...rows].map(line).join('\n');
}

const timeOf = (measurements: readonly Measurement[], engine: string, name: string) =>
  measurements.findLast((each) => each.engine === engine && each.case === name)?.ms;

const shown = (ms: number | undefined) =>
  ms === undefined ? '' : `${ms < 10 ? ms.toPrecision(2) : ms.toFixed(0)} ms`;
