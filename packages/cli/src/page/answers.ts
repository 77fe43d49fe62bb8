/** The part of the server that a person answers questions by. */
import type { IncomingMessage } from 'node:http';
import type { Judgement } from '@flow-grpo/rewards/human';
import type { RunPerson } from '../human/run-person';
import type { QuestionsData } from './run-data';

/** Questions that a page is sent at a time; the others follow when these are answered. */
const SHOWN_QUESTIONS = 4;
/** An answer is a list of a few numbers. */
const MAX_BYTES = 16_384;

export function questionsOf({ waiting, answered }: RunPerson): QuestionsData {
  const questions = waiting.slice(0, SHOWN_QUESTIONS).map(({ question: { key, prompt, images } }) => ({
    key,
    prompt,
    file: `questions/${key}.png`,
    width: images[0]!.width,
    height: images[0]!.height,
    count: images.length,
  }));
  return { waiting: waiting.length, answered, questions };
}

/**
 * Reads an answer, `{ key, judgement }`, and gives it. JSON only: a form of another site cannot send that.
 *
 * @returns what to answer: 204 when it was taken, 410 when the question does not wait any more, 4xx for anything else
 */
export async function takeAnswer(
  person: RunPerson,
  request: IncomingMessage,
): Promise<{ code: number; message: string }> {
  const refuse = (code: number, message: string) => ({ code, message });
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
    return refuse(415, 'an answer must be JSON');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BYTES) return refuse(413, `an answer has at most ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  try {
    const { key, judgement } = JSON.parse(Buffer.concat(chunks).toString()) as {
      key: string;
      judgement: Judgement;
    };
    if (typeof judgement !== 'object' || judgement === null)
      return refuse(400, 'the answer contains no judgement');
    const taken = await person.answer(key, judgement);
    return taken ? refuse(204, '') : refuse(410, 'this question is no longer waiting for an answer');
  } catch (error) {
    return refuse(400, (error as Error).message);
  }
}
