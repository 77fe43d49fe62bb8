/** The person at a run's page, who answers the reward `human`: questions wait there until they are answered. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '@flow-grpo/checkpoint-io/make-folder';
import {
  type AnswerRecord,
  appendAnswers,
  type HumanQuestion,
  type Judgement,
  type Person,
  readAnswers,
  rewardsOfJudgement,
} from '@flow-grpo/rewards/human';

/** A question that waits, with its images in one PNG, one below the other. */
export interface WaitingQuestion {
  readonly question: HumanQuestion;
  readonly png: Buffer;
}

export interface RunPerson extends Person {
  /** Whether a reward of the run asks. */
  readonly expected: boolean;
  /** Questions without an answer, the oldest first. */
  readonly waiting: readonly WaitingQuestion[];
  /** Questions answered since the run started, from its folder or by somebody. */
  readonly answered: number;
  /**
   * Keeps questions and answers in the run's folder: `answers.jsonl`, and the images in `answers/`. Questions answered there
   * are not asked again, so that a run resumes, or is repeated, with the same answers.
   *
   * @throws when a line of the file is no answer
   */
  keepIn(folder: string): Promise<void>;
  /**
   * Answers a question.
   *
   * @returns false where it does not wait (any more)
   * @throws {RangeError} when the judgement does not fit its images
   */
  answer(key: string, judgement: Judgement): Promise<boolean>;
  /** Calls back whenever questions come or go. */
  onChange(listener: () => void): void;
}

interface Waiting extends WaitingQuestion {
  readonly answers: ((judgement: Judgement) => void)[];
}

export function runPerson(): RunPerson {
  const waiting = new Map<string, Waiting>();
  const listeners: (() => void)[] = [];
  const changed = () => {
    for (const listener of listeners) listener();
  };
  let folder: string | undefined;
  let known: Map<string, Judgement> = new Map();
  let expected = false;
  let answered = 0;

  /** Waits in line; a question that waits already is asked once. */
  const wait = (question: HumanQuestion, png: Buffer, signal: AbortSignal | undefined) =>
    new Promise<Judgement>((resolve, reject) => {
      signal?.throwIfAborted();
      const { key } = question;
      const entry = waiting.get(key) ?? { question, png, answers: [] };
      waiting.set(key, entry);
      const leave = () => {
        entry.answers.splice(entry.answers.indexOf(done), 1);
        if (entry.answers.length === 0) waiting.delete(key);
        changed();
        reject(signal!.reason);
      };
      const done = (judgement: Judgement) => {
        signal?.removeEventListener('abort', leave);
        resolve(judgement);
      };
      entry.answers.push(done);
      signal?.addEventListener('abort', leave, { once: true });
      changed();
    });

  /** Answers that are not in the file yet: a disk that was full may have room for them when the next one is given. */
  const unkept: AnswerRecord[] = [];
  let keeping = Promise.resolve();
  const keepAnswers = (folder: string): Promise<void> => {
    // One after the other; a person does not wait for the disk to be free, and the run goes on with the answer.
    keeping = keeping.then(async () => {
      const writing = [...unkept];
      try {
        await appendAnswers(join(folder, 'answers.jsonl'), writing);
        unkept.splice(0, writing.length);
      } catch {}
    });
    return keeping;
  };

  return {
    get expected() {
      return expected;
    },
    get waiting() {
      return [...waiting.values()];
    },
    get answered() {
      return answered;
    },
    expect() {
      expected = true;
    },
    async keepIn(target) {
      folder = target;
      if (!expected) return;
      makeFolder(join(folder, 'answers'));
      known = await readAnswers(join(folder, 'answers.jsonl')).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return new Map();
        throw error;
      });
    },
    async ask(question, signal) {
      const before = known.get(question.key);
      if (before) {
        answered++;
        changed();
        return before;
      }
      const png = await stripOf(question);
      if (folder !== undefined) await writeFile(join(folder, 'answers', `${question.key}.png`), png);
      return wait(question, png, signal);
    },
    async answer(key, judgement) {
      const entry = waiting.get(key);
      if (!entry) return false;
      const { prompt, images } = entry.question;
      rewardsOfJudgement(judgement, images.length);
      waiting.delete(key);
      known.set(key, judgement);
      answered++;
      if (folder !== undefined) {
        unkept.push({ key, prompt, images: images.length, judgement });
        await keepAnswers(folder);
      }
      for (const done of entry.answers) done(judgement);
      changed();
      return true;
    },
    onChange(listener) {
      listeners.push(listener);
    },
  };
}

/** The images of a question, one below the other. */
async function stripOf({ images }: HumanQuestion): Promise<Buffer> {
  const { width, height } = images[0]!;
  const bytes = Buffer.concat(images.map(({ data }) => data));
  const { default: sharp } = await import('sharp');
  return sharp(bytes, { raw: { width, height: height * images.length, channels: 3 } })
    .png()
    .toBuffer();
}
