/** One image, large: through the epochs with the arrow keys, before and after with the space bar. */
import { Sparkline } from '@flow-grpo/page-components/chart';
import { Slider } from '@flow-grpo/page-components/controls';
import { Lightbox } from '@flow-grpo/page-components/images';
import { figure } from '@flow-grpo/page-components/numbers';
import { useState } from 'preact/hooks';
import type { RunData } from '../run-data';
import { type Drawn, Pair, sameImage } from './samples';

export interface EnlargedProps {
  readonly run: RunData;
  readonly drawn: readonly Drawn[];
  /** The evaluation shown. */
  readonly at: number;
  /** What it is compared with, and what that is called: `epoch 0`, or another run's. */
  readonly before: Drawn;
  readonly beforeName: string;
  /** The image shown. */
  readonly index: number;
  /** The images before and after it. */
  readonly order: readonly number[];
  readonly onMove: (at: number) => void;
  readonly onOpen: (index: number) => void;
  readonly onClose: () => void;
}

export function Enlarged(props: EnlargedProps) {
  const { run, drawn, at, before, beforeName, index, order, onMove, onOpen, onClose } = props;
  const [isBefore, setBefore] = useState(false);
  const now = drawn[at]!;
  const prompt = run.prompts[now.samples.prompts[index]!]!;
  const rewards = drawn.map((evaluation) =>
    sameImage(now, index, evaluation) === undefined ? null : (evaluation.samples.rewards[index] ?? null),
  );
  const rewardBefore = sameImage(now, index, before) === undefined ? null : before.samples.rewards[index];
  const move = (by: number) => onMove(Math.max(0, Math.min(drawn.length - 1, at + by)));
  return (
    <Lightbox
      label={prompt}
      picture={
        <Pair
          before={before}
          after={now}
          index={index}
          shown={isBefore ? 'before' : 'after'}
          prompt={prompt}
        />
      }
      keys={{
        ArrowLeft: () => move(-1),
        ArrowRight: () => move(1),
        ' ': () => setBefore((value) => !value),
      }}
      image={index}
      order={order}
      onOpen={onOpen}
      onClose={onClose}
      about={
        <>
          <p class="prompt">{prompt}</p>
          <p>
            Reward {figure(now.samples.rewards[index])} at epoch {now.epoch}
            {before !== now && `; ${figure(rewardBefore)} before (${beforeName})`}.
          </p>
          <Sparkline values={rewards} label={`Reward of this image over ${drawn.length} evaluations`} />
          <Slider label="Epoch" value={at} max={drawn.length - 1} text={String(now.epoch)} onInput={onMove} />
        </>
      }
      buttons={
        <button type="button" aria-pressed={isBefore} onClick={() => setBefore(!isBefore)}>
          Before
        </button>
      }
      hint="Arrow keys: epochs and images. Space: before and after. Escape: close."
    />
  );
}
