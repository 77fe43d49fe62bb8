/** A person's answers in a file, one line of JSON each, from which a run can be repeated. */
import { readFile } from 'node:fs/promises';
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
    if (line === '' || (i === lines.length - 1 && !line.endsWith('}'))) continue;
    try {
      const { key, images, judgement } = JSON.parse(line) as AnswerRecord;
      if (typeof key !== 'string') throw new Error('it has no key');
      rewardsOfJudgement(judgement, images);
      answers.set(key, judgement);
    } catch (error) {
      throw new Error(`${file}, line ${i + 1} is not an answer: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
  return answers;
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
