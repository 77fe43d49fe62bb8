/** Images of evaluations, cut out of the files that hold one evaluation each. */
import { figure, plural } from '@flow-grpo/page-components/numbers';
import type { EvaluationData, RunData, SampleData } from '../run-data';

/** An evaluation with images. */
export type Drawn = EvaluationData & { readonly samples: SampleData };

export const drawnOf = (run: RunData | undefined): Drawn[] =>
  (run?.evaluations ?? []).filter((evaluation): evaluation is Drawn => evaluation.samples !== undefined);

/** One image of an evaluation's file. */
export function Sample({ samples, index, alt }: { samples: SampleData; index: number; alt: string }) {
  const count = samples.prompts.length;
  return (
    <span
      class={samples.width <= 160 ? 'crop pixels' : 'crop'}
      style={{ aspectRatio: `${samples.width} / ${samples.height}` }}
    >
      <img
        src={samples.file}
        alt={alt}
        loading="lazy"
        decoding="async"
        draggable={false}
        style={{ transform: `translateY(${(-100 * index) / count}%)` }}
      />
    </span>
  );
}

/** Two images of the same noise in one place, of which one is on top. */
export function Pair({
  before,
  after,
  index,
  shown,
  prompt,
}: {
  before: Drawn;
  after: Drawn;
  index: number;
  shown: 'before' | 'after';
  prompt: string;
}) {
  return (
    <span class="pair" data-shown={shown}>
      <span aria-hidden={shown !== 'after'}>
        <Sample samples={after.samples} index={index} alt={altOf(prompt, after, index)} />
      </span>
      {before !== after && (
        <span aria-hidden={shown !== 'before'}>
          <Sample samples={before.samples} index={index} alt={altOf(prompt, before, index)} />
        </span>
      )}
    </span>
  );
}

export const altOf = (prompt: string, { epoch, samples }: Drawn, index: number) =>
  `${prompt}, after ${plural(epoch, 'epoch')}, reward ${figure(samples.rewards[index])}`;

/** Where a prompt's image lies in another evaluation: at the same place where that is the same prompt. */
export function sameImage(of: Drawn, index: number, other: Drawn): number | undefined {
  return other.samples.prompts[index] === of.samples.prompts[index] ? index : undefined;
}

/** Asks the browser for the files of neighbours, so that the slider does not wait for them. */
export function preload(evaluations: readonly (Drawn | undefined)[]): void {
  for (const evaluation of evaluations) if (evaluation) new Image().src = evaluation.samples.file;
}
