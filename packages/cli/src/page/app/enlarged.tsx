/** One image, large: through the epochs with the arrow keys, before and after with the space bar. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RunData } from '../run-data';
import { Sparkline } from './chart';
import { Slider } from './controls';
import { figure } from './insight';
import { type Drawn, Pair, sameImage } from './samples';

export interface EnlargedProps {
  readonly run: RunData;
  readonly drawn: readonly Drawn[];
  /** The evaluation shown. */
  readonly at: number;
  /** The image shown. */
  readonly index: number;
  /** The images before and after it. */
  readonly order: readonly number[];
  readonly onMove: (at: number) => void;
  readonly onOpen: (index: number) => void;
  readonly onClose: () => void;
}

export function Enlarged({ run, drawn, at, index, order, onMove, onOpen, onClose }: EnlargedProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [before, setBefore] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const [first, now] = [drawn[0]!, drawn[at]!];
  const prompt = run.prompts[now.samples.prompts[index]!]!;
  const rewards = drawn.map((evaluation) =>
    sameImage(now, index, evaluation) === undefined ? null : (evaluation.samples.rewards[index] ?? null),
  );
  const move = (by: number) => onMove(Math.max(0, Math.min(drawn.length - 1, at + by)));
  const next = (by: number) => {
    const place = order.indexOf(index) + by;
    if (order[place] !== undefined) onOpen(order[place]);
  };
  const onKey = (event: KeyboardEvent) => {
    const actions: Record<string, () => void> = {
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      ArrowUp: () => next(-1),
      ArrowDown: () => next(1),
      ' ': () => setBefore((value) => !value),
    };
    const action = actions[event.key];
    // Buttons keep the space bar, and the slider its arrows.
    if (!action || (event.target as Element).closest(event.key === ' ' ? 'button' : 'input')) return;
    event.preventDefault();
    action();
  };
  return (
    <dialog ref={dialog} class="enlarged" aria-label={prompt} onClose={onClose} onKeyDown={onKey}>
      <div class="picture">
        <Pair before={first} after={now} index={index} shown={before ? 'before' : 'after'} prompt={prompt} />
      </div>
      <div class="about">
        <p class="prompt">{prompt}</p>
        <p>
          Reward {figure(first.samples.rewards[index])} after {first.epoch} epochs,{' '}
          {figure(now.samples.rewards[index])} after {now.epoch}.
        </p>
        <Sparkline values={rewards} label={`Reward of this image over ${drawn.length} evaluations`} />
        <Slider label="Epoch" value={at} max={drawn.length - 1} text={String(now.epoch)} onInput={onMove} />
        <div class="row">
          <button type="button" aria-pressed={before} onClick={() => setBefore(!before)}>
            Before
          </button>
          <button type="button" onClick={() => next(-1)} disabled={order.indexOf(index) <= 0}>
            Previous
          </button>
          <button type="button" onClick={() => next(1)} disabled={order.indexOf(index) >= order.length - 1}>
            Next
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
        <p class="hint">Arrow keys: epochs and images. Space: before and after. Escape: close.</p>
      </div>
    </dialog>
  );
}
