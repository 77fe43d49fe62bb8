/** A person's answers in a file, one line of JSON each, from which a run can be repeated. */
import { open, readFile } from 'node:fs/promises';
import type { HumanQuestion, Person } from './human-reward';
import { type Judgement, rewardsOfJudgement } from './judgement';

/** One line of answers.jsonl. */
export interface AnswerRecord {
  /** The question's. */
  readonly key: string;
  readonly prompt: string;
  /** How many images were compared. */
  readonly images: number;
  readonly judgement: Judgement;
}

/**
 * The answers of a file by the keys of their questions. If a question was answered twice, the later answer counts. An
 * incomplete last line, cut by a kill, is skipped.
 *
 * @throws when the file cannot be read, or a line is no answer, naming the line
 */
export async function readAnswers(file: string): Promise<Map<string, Judgement>> {
  const lines = (await readFile(file, 'utf8')).split('\n');
  const answers = new Map<string, Judgement>();
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '' || (i === lines.length - 1 && isCut(line))) continue;
    try {
      const { key, images, judgement } = JSON.parse(line) as AnswerRecord;
      if (typeof key !== 'string') throw new Error('it has no key');
      rewardsOfJudgement(judgement, images);
      answers.set(key, judgement);
    } catch (error) {
      const { message } = error as Error;
      throw new Error(
        `${file}, line ${i + 1} is not an answer: ${message}; remove the line to be asked again`,
        { cause: error },
      );
    }
  }
  return answers;
}

/** Whether a last line without an end is half of one. */
function isCut(line: string): boolean {
  try {
    JSON.parse(line);
    return false;
  } catch {
    return true;
  }
}

/**
 * Appends answers to a file, all of them as whole lines or none; half a line that a kill left at its end goes.
 *
 * @throws what the system says when it cannot be written
 */
export async function appendAnswers(file: string, records: readonly AnswerRecord[]): Promise<void> {
  const handle = await open(file, 'a+');
  try {
    const text = await handle.readFile('utf8');
    const last = text.slice(text.lastIndexOf('\n') + 1);
    const size = Buffer.byteLength(text) - (isCut(last) ? Buffer.byteLength(last) : 0);
    await handle.truncate(size);
    const start = last === '' || isCut(last) ? '' : '\n';
    try {
      await handle.appendFile(start + records.map((record) => `${JSON.stringify(record)}\n`).join(''));
      await handle.sync();
    } catch (error) {
      await handle.truncate(size);
      throw error;
    }
  } finally {
    await handle.close();
  }
}

/** Takes answers from the file, and asks the person for the others; without a person those are an error. */
export function withAnswers(answers: ReadonlyMap<string, Judgement>, person: Person | undefined): Person {
  return {
    expect: () => person?.expect?.(),
    async ask(question: HumanQuestion, signal) {
      const known = answers.get(question.key);
      if (known) return known;
      if (person) return person.ask(question, signal);
      throw new Error(
        `there is no answer for these images of ${JSON.stringify(question.prompt)}; with flow-grpo train --ui a person gives it`,
      );
    },
  };
}
