/** You are the reward: the images of a prompt, to be compared by clicks or keys. */
import { Panel, Segmented } from '@flow-grpo/page-components/controls';
import { plural } from '@flow-grpo/page-components/numbers';
import { useLayoutEffect, useState } from 'preact/hooks';
import type { QuestionData, QuestionsData } from '../run-data';
import { Sample } from './samples';

type Way = 'best' | 'order' | 'thumbs';

const WAYS: Record<Way, string> = { best: 'pick the best', order: 'order them', thumbs: 'thumbs' };
const HINTS: Record<Way, string> = {
  best: 'Click the best image, or press its number.',
  order: 'Click the images from the best to the worst; those you leave out share last place.',
  thumbs: 'Click once for good, twice for bad, and again for neither.',
};

export interface JudgeProps {
  readonly data: QuestionsData;
  readonly onAnswer: (key: string, judgement: unknown) => Promise<void>;
}

export function Judge({ data: { waiting, answered, questions }, onAnswer }: JudgeProps) {
  const [way, setWay] = useState<Way>('best');
  const [problem, setProblem] = useState('');
  const question = questions[0];
  const send = (judgement: unknown) => {
    if (!question) return;
    setProblem('');
    onAnswer(question.key, judgement).catch((error: Error) => setProblem(error.message));
  };
  return (
    <Panel id="judge" title="You are the reward">
      <p class="note" role="status">
        {waiting > 0
          ? `Training waits for you: ${plural(waiting, 'prompt')} to judge, ${answered} judged.`
          : `Nothing to judge now; ${answered} judged. The next images appear automatically.`}
      </p>
      {problem && (
        <p class="down" role="alert">
          {problem}
        </p>
      )}
      {question && (
        <>
          <Segmented label="How to judge" options={WAYS} value={way} onChange={setWay} />
          <Group key={`${question.key} ${way}`} question={question} way={way} onJudged={send} />
        </>
      )}
    </Panel>
  );
}

function Group({
  question,
  way,
  onJudged,
}: {
  question: QuestionData;
  way: Way;
  onJudged: (judgement: unknown) => void;
}) {
  const { count, prompt, file, width, height } = question;
  const [order, setOrder] = useState<readonly number[]>([]);
  const [thumbs, setThumbs] = useState<readonly number[]>(() => new Array<number>(count).fill(0));
  const samples = { file, width, height, prompts: new Array<number>(count).fill(0), rewards: [] };
  const choose = (i: number) => {
    if (way === 'best') return onJudged({ best: i });
    if (way === 'thumbs') return setThumbs(thumbs.map((value, k) => (k === i ? NEXT_THUMB[value]! : value)));
    const next = order.includes(i) ? order.filter((k) => k !== i) : [...order, i];
    // The last one left is the worst.
    if (next.length === count - 1) onJudged({ order: [...next, ...missing(next, count)] });
    else setOrder(next);
  };
  // Not after the next paint: a key pressed before it would not know of the last click.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.target as Element | null)?.closest('input, select, textarea, [role=slider], dialog')) return;
      const place = Number(event.key) - 1;
      if (Number.isInteger(place) && place >= 0 && place < count) choose(place);
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  });
  const mark = (i: number) => {
    if (way === 'order') return order.includes(i) ? `${order.indexOf(i) + 1}.` : '';
    return way === 'thumbs' ? { 1: 'good', [-1]: 'bad' }[thumbs[i]!] : '';
  };
  return (
    <>
      <p class="prompt">
        <b>{prompt}</b>
      </p>
      <p class="hint">{HINTS[way]}</p>
      <ul class="grid judged">
        {thumbs.map((_, i) => (
          <li key={i}>
            <button
              type="button"
              class="open"
              aria-pressed={Boolean(mark(i))}
              onClick={() => choose(i)}
              aria-label={`Image ${i + 1}${mark(i) ? `, ${mark(i)}` : ''}`}
            >
              <Sample samples={samples} index={i} alt="" />
              <span class="number">
                {i + 1} {mark(i) && <b>{mark(i)}</b>}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {way !== 'best' && (
        <button
          type="button"
          disabled={way === 'order' && order.length === 0}
          onClick={() => onJudged(way === 'order' ? { order } : { thumbs })}
        >
          Done
        </button>
      )}
    </>
  );
}

/** Neither, good, bad, and neither again. */
const NEXT_THUMB: Readonly<Record<number, number>> = { 0: 1, 1: -1, [-1]: 0 };

const missing = (order: readonly number[], count: number) =>
  Array.from({ length: count }, (_, i) => i).filter((i) => !order.includes(i));
