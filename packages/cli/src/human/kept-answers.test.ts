/** A person's answers are each taken once, for the images they were given for, and kept whatever happens to the file. */
import { mkdir, mkdtemp, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { humanQuestion, type Judgement, readAnswers } from '@flow-grpo/rewards/human';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { serveRuns } from '../page/server';
import { runPerson } from './run-person';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'answers-'));
  file = join(folder, 'answers.jsonl');
});
afterEach(() => rm(folder, { recursive: true }));

const questionOf = (prompt: string) =>
  humanQuestion(
    prompt,
    [0, 100].map((red) => ({ data: Uint8Array.of(red, 0, 0), width: 1, height: 1 })),
  );
const [first, second, third] = ['one', 'two', 'three'].map(questionOf) as [
  ReturnType<typeof questionOf>,
  ReturnType<typeof questionOf>,
  ReturnType<typeof questionOf>,
];

async function expectedPerson() {
  const person = runPerson();
  person.expect!();
  await person.keepIn(folder);
  return person;
}

/** Asks, and answers by `best`. */
async function judge(person: ReturnType<typeof runPerson>, question: typeof first, best: number) {
  const asked = person.ask(question);
  await expect.poll(() => person.waiting.some(({ question: { key } }) => key === question.key)).toBe(true);
  await person.answer(question.key, { best });
  return asked;
}

const line = (question: typeof first, judgement: Judgement) =>
  JSON.stringify({ key: question.key, prompt: question.prompt, images: 2, judgement });

it('of two browsers the first one is heard, and an answer to other images is none', async () => {
  const person = await expectedPerson();
  const server = await serveRuns([folder], { person });
  const post = async ({ key }: { key: string }, judgement: unknown) =>
    (
      await fetch(new URL('/answers', server.url), {
        method: 'POST',
        body: JSON.stringify({ key, judgement }),
        headers: { 'content-type': 'application/json' },
      })
    ).status;
  const asked = person.ask(first);
  await expect.poll(() => person.waiting.length).toBe(1);
  expect(await post(second, { best: 0 })).toBe(410);
  const codes = await Promise.all([
    post(first, { best: 1 }),
    post(first, { best: 0 }),
    post(first, { best: 0 }),
  ]);
  expect(codes.toSorted((a, b) => a - b)).toEqual([204, 410, 410]);
  expect(await asked).toEqual({ best: codes.indexOf(204) === 0 ? 1 : 0 });
  const over = new AbortController();
  const last = person.ask(second, over.signal);
  await expect.poll(() => person.waiting.length).toBe(1);
  over.abort(new Error('ended'));
  await expect(last).rejects.toThrow('ended');
  expect(await post(second, { best: 0 })).toBe(410);
  await server.close('over');
  await expect(post(first, { best: 0 })).rejects.toThrow();
  expect([...(await readAnswers(file)).keys()]).toEqual([first.key]);
});

it.each<[string, string, string[]]>([
  ['cut in its key', `${line(first, { best: 0 })}\n{"key":"abc`, ['one']],
  [
    'cut before its last brace',
    `${line(first, { best: 0 })}\n${line(second, { best: 0 }).slice(0, -1)}`,
    ['one'],
  ],
  ['without its end', line(first, { best: 0 }), ['one']],
  ['of zeros', `${line(first, { best: 0 })}\n\0\0\0\0`, ['one']],
  ['alone, cut', '{', []],
  ['in letters of several bytes, cut', `${line(questionOf('é'), { best: 0 })}\n{"key":"é`, ['é']],
])('a last line %s does not spoil the next answer', async (_, text, known) => {
  await writeFile(file, text);
  const person = await expectedPerson();
  await judge(person, third, 1);
  const answers = await readAnswers(file);
  expect([...answers.keys()]).toEqual([...known.map((prompt) => questionOf(prompt).key), third.key]);
  expect(await readFile(file, 'utf8')).toMatch(/\n$/);
});

it('a damaged line is named, and is not passed over', async () => {
  await writeFile(file, `${line(first, { best: 0 })}\n{"key":"a\n${line(second, { best: 0 })}\n`);
  const person = runPerson();
  person.expect!();
  await expect(person.keepIn(folder)).rejects.toThrow(
    /answers\.jsonl, line 2 is not an answer: .*remove the line/,
  );
  await writeFile(file, `${JSON.stringify({ key: 'k', images: 2, judgement: { best: 2 } })}`);
  await expect(person.keepIn(folder)).rejects.toThrow(/line 1 is not an answer: best: 2 is not one of the 2/);
});

it('an answer that cannot be written counts, and is written with the next one', async () => {
  const person = await expectedPerson();
  await mkdir(file); // as a full disk: nothing can be written there
  expect(await judge(person, first, 1)).toEqual({ best: 1 });
  expect(await judge(person, second, 0)).toEqual({ best: 0 });
  await rmdir(file);
  await judge(person, third, 1);
  expect([...(await readAnswers(file))]).toEqual([
    [first.key, { best: 1 }],
    [second.key, { best: 0 }],
    [third.key, { best: 1 }],
  ]);
});
