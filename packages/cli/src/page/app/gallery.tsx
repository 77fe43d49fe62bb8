/** The grid of samples over epochs: a slider through evaluations, before and after, sorting, and search. */
import { Segmented, Slider } from '@flow-grpo/page-components/controls';
import { ImageGrid } from '@flow-grpo/page-components/images';
import { decimalsOf, fixed, plural, signedFixed } from '@flow-grpo/page-components/numbers';
import { useEffect, useLayoutEffect, useMemo, useState } from 'preact/hooks';
import type { RunData } from '../run-data';
import { Enlarged } from './enlarged';
import { altOf, type Drawn, drawnOf, Pair, preload, Sample, sameImage } from './samples';

type Order = 'drawn' | 'best' | 'worst' | 'changed';
type View = 'after' | 'before' | 'both' | 'flicker';

const ORDERS: Record<Order, string> = {
  drawn: 'as drawn',
  best: 'best first',
  worst: 'worst first',
  changed: 'most changed first',
};
const VIEWS: Record<View, string> = {
  after: 'this epoch',
  before: 'before',
  both: 'side by side',
  flicker: 'flicker',
};
/** Half a period of the flicker: slow enough to be no hazard, fast enough that the eye sees what moves. */
const FLICKER_MS = 600;

export interface GalleryProps {
  readonly run: RunData;
  /** Another run, whose images stand in for those before: of the evaluation nearest to the one shown. */
  readonly against?: RunData | undefined;
  /** Prompts that match, by their place. */
  readonly matches: (prompt: number) => boolean;
}

export function Gallery({ run, against, matches }: GalleryProps) {
  const drawn = useMemo(() => drawnOf(run), [run]);
  const [place, setPlace] = useState<number | undefined>(); // follows the newest until moved
  const [order, setOrder] = useState<Order>('drawn');
  const [view, setView] = useState<View>('after');
  const [open, setOpen] = useState<number | undefined>();
  const flip = useFlicker(view === 'flicker');
  const at = Math.min(place ?? drawn.length - 1, drawn.length - 1);
  const after = drawn[at];
  const before = against ? nearest(inPromptsOf(run, against), after?.epoch ?? 0) : drawn[0];
  const beforeName = against ? `${against.name}, epoch ${before?.epoch}` : `epoch ${before?.epoch}`;
  useEffect(() => preload([drawn[at - 1], drawn[at + 1]]), [drawn, at]);

  // Keys for those who look at images all day; not while they write. Before the next paint, so that each key knows of the last.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.target as Element | null)?.closest('input, select, textarea, [role=slider], dialog')) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === '[') setPlace(Math.max(0, at - 1));
      else if (event.key === ']') setPlace(Math.min(drawn.length - 1, at + 1));
      else if (event.key === 'f') setView(view === 'flicker' ? 'after' : 'flicker');
      else if (event.key === 'b') setView(view === 'before' ? 'after' : 'before');
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, [at, view, drawn.length]);

  if (!before || !after)
    return <p class="empty">No images yet. Evaluations draw them (evalPrompts, evalEvery).</p>;
  const changes = changesOf(before, after, against === undefined);
  const chosen = ordered(after, changes, order).filter((i) => matches(after.samples.prompts[i]!));
  const decimals = decimalsOf([...after.samples.rewards, ...before.samples.rewards]);
  const top = view === 'before' || (view === 'flicker' && flip) ? 'before' : 'after';
  const promptOf = (i: number) => run.prompts[after.samples.prompts[i]!]!;
  const cell = (i: number) => {
    const other = sameImage(after, i, before);
    if (other === undefined || view === 'after')
      return <Sample samples={after.samples} index={i} alt={altOf(promptOf(i), after, i)} />;
    if (view === 'both') {
      return (
        <span class="both">
          <Sample samples={before.samples} index={i} alt={altOf(promptOf(i), before, i)} />
          <Sample samples={after.samples} index={i} alt={altOf(promptOf(i), after, i)} />
        </span>
      );
    }
    return <Pair before={before} after={after} index={i} shown={top} prompt={promptOf(i)} />;
  };
  return (
    <>
      <div class="toolbar">
        <Slider
          label="Evaluation"
          value={at}
          max={drawn.length - 1}
          text={`epoch ${after.epoch} (${at + 1} of ${drawn.length})`}
          onInput={(value) => setPlace(value === drawn.length - 1 ? undefined : value)}
        />
        <Segmented label="Show" options={VIEWS} value={view} onChange={setView} />
        <label class="select">
          Order{' '}
          <select value={order} onChange={(event) => setOrder(event.currentTarget.value as Order)}>
            {Object.entries(ORDERS).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
        </label>
      </div>
      <p class="hint">
        {view === 'after'
          ? `Drawn after ${plural(after.epoch, 'epoch')}.`
          : `Before: ${beforeName}. After: epoch ${after.epoch}. Both from the same noise.`}{' '}
        {view === 'flicker' && (
          <b aria-hidden="true">{top === 'before' ? beforeName : `epoch ${after.epoch}`}</b>
        )}
      </p>
      <ImageGrid
        images={chosen}
        nameOf={promptOf}
        pictureOf={cell}
        captionOf={(i) => (
          <>
            <Reward
              value={after.samples.rewards[i]}
              before={
                before === after || sameImage(after, i, before) === undefined
                  ? undefined
                  : before.samples.rewards[i]
              }
              decimals={decimals}
            />
            <span>{promptOf(i)}</span>
          </>
        )}
        onOpen={setOpen}
        wide={view === 'both'}
        empty="No image of this evaluation matches."
      />
      {open !== undefined && (
        <Enlarged
          run={run}
          drawn={drawn}
          at={at}
          before={before}
          beforeName={beforeName}
          index={open}
          order={chosen}
          onMove={setPlace}
          onOpen={setOpen}
          onClose={() => setOpen(undefined)}
        />
      )}
    </>
  );
}

interface RewardProps {
  readonly value: number | null | undefined;
  readonly before: number | null | undefined;
  readonly decimals: number | undefined;
}

function Reward({ value, before, decimals }: RewardProps) {
  const change = typeof value === 'number' && typeof before === 'number' ? value - before : undefined;
  return (
    <b>
      {fixed(value, decimals)}
      {change !== undefined && change !== 0 && (
        <em class={change > 0 ? 'up' : 'down'}> {signedFixed(change, decimals)}</em>
      )}
    </b>
  );
}

/** The evaluations of another run, its prompts by their place in this one's; -1 for those that this one does not have. */
function inPromptsOf(run: RunData, other: RunData): Drawn[] {
  const placeOf = new Map(run.prompts.map((prompt, i) => [prompt, i]));
  return drawnOf(other).map((evaluation) => {
    const prompts = evaluation.samples.prompts.map((prompt) => placeOf.get(other.prompts[prompt]!) ?? -1);
    return { ...evaluation, samples: { ...evaluation.samples, prompts } };
  });
}

const nearest = (evaluations: readonly Drawn[], epoch: number): Drawn | undefined =>
  evaluations.reduce<Drawn | undefined>(
    (best, each) =>
      best === undefined || Math.abs(each.epoch - epoch) < Math.abs(best.epoch - epoch) ? each : best,
    undefined,
  );

/**
 * How much each image differs from the one before: its pixels where that was measured, which it is from a run's own first
 * evaluation, else its reward.
 */
function changesOf(before: Drawn, after: Drawn, byPixels: boolean): number[] {
  return after.samples.rewards.map((reward, i) => {
    const pixels = byPixels ? after.samples.changes?.[i] : undefined;
    if (typeof pixels === 'number') return pixels;
    const first = before.samples.rewards[i];
    return typeof reward === 'number' && typeof first === 'number' ? Math.abs(reward - first) : 0;
  });
}

function ordered({ samples }: Drawn, changes: readonly number[], order: Order): number[] {
  const places = samples.prompts.map((_, i) => i);
  const lowest = Number.NEGATIVE_INFINITY;
  const by = (value: (i: number) => number) => places.sort((a, b) => value(b) - value(a) || a - b);
  if (order === 'best') return by((i) => samples.rewards[i] ?? lowest);
  if (order === 'worst') return by((i) => -(samples.rewards[i] ?? -lowest));
  if (order === 'changed') return by((i) => changes[i]!);
  return places;
}

/** True and false in turns while it is on. */
function useFlicker(on: boolean): boolean {
  const [flip, setFlip] = useState(false);
  useEffect(() => {
    if (!on) return;
    setFlip(true);
    const timer = setInterval(() => setFlip((value) => !value), FLICKER_MS);
    return () => clearInterval(timer);
  }, [on]);
  return flip;
}
