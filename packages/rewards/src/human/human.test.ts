import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeReward } from '../registry/find';
import { type HumanQuestion, type Judgement, type Person, readAnswers, rewardsOfJudgement } from '.';

describe('rewardsOfJudgement', () => {
  it.each<[Judgement, number[]]>([
    [{ best: 1 }, [0, 1, 0]],
    [{ order: [2, 0, 1] }, [0.5, 0, 1]],
    [{ order: [2] }, [0.25, 0.25, 1]],
    [{ order: [0, 1] }, [1, 0.5, 0]],
    [{ thumbs: [1, 0, -1] }, [1, 0.5, 0]],
  ])('of %j is %j', (judgement, rewards) => {
    expect(rewardsOfJudgement(judgement, 3)).toEqual(rewards);
  });

  it('has the same sum for every order of some images', () => {
    const sums = [[3], [3, 1], [3, 1, 0], [3, 1, 0, 2]].map((order) =>
      rewardsOfJudgement({ order }, 4).reduce((a, b) => a + b),
    );
    for (const sum of sums) expect(sum).toBeCloseTo(2, 12);
  });

  it.each([
    { best: 3 },
    { best: -1 },
    { best: 0.5 },
    { best: '0' },
    { order: [] },
    { order: [0, 0] },
    { order: [0, 3] },
    { order: 'ab' },
    { thumbs: [1, 0] },
    { thumbs: [1, 0, 2] },
    { thumbs: null },
    {},
  ])('refuses %j of three images', (judgement) => {
    expect(() => rewardsOfJudgement(judgement as unknown as Judgement, 3)).toThrow(RangeError);
  });
});

/** Says how a person who likes red orders images, and notes the questions. */
function likesRed(): Person & { asked: HumanQuestion[]; expected: number } {
  const asked: HumanQuestion[] = [];
  const person = {
    asked,
    expected: 0,
    expect: () => void person.expected++,
    async ask(question: HumanQuestion): Promise<Judgement> {
      asked.push(question);
      const red = question.images.map(({ data }) => data[0]!);
      return { best: red.indexOf(Math.max(...red)) };
    },
  };
  return person;
}

const images = () => tf.tensor4d([0.2, 0, 0, 0.9, 0, 0, 0.6, 0, 0, 0.4, 0, 0], [4, 1, 1, 3]);
const prompts = ['a', 'a', 'b', 'b'];
const metadata = prompts.map(() => ({}));

describe('the reward human', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'human-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("asks of each prompt's images", async () => {
    const person = likesRed();
    const scorer = await makeReward('human', {}, { person });
    expect(person.expected).toBe(1);
    const { scores } = await scorer.score(images(), prompts, metadata);
    expect(scores).toEqual([0, 1, 1, 0]);
    expect(person.asked.map(({ prompt, images }) => [prompt, images.length])).toEqual([
      ['a', 2],
      ['b', 2],
    ]);
  });

  it('gives the answers of a file again, and asks for others', async () => {
    const first = likesRed();
    await (await makeReward('human', {}, { person: first })).score(images(), prompts, metadata);
    const file = join(folder, 'answers.jsonl');
    const { key, prompt } = first.asked[0]!;
    await writeFile(
      file,
      `${JSON.stringify({ key, prompt, images: 2, judgement: { best: 0 } })}\n{"key": "cut sho`,
    );
    const person = likesRed();
    const scorer = await makeReward('human', { answers: file }, { person });
    expect((await scorer.score(images(), prompts, metadata)).scores).toEqual([1, 0, 1, 0]);
    expect(person.asked.map((question) => question.prompt)).toEqual(['b']);
    const alone = await makeReward('human', { answers: file });
    await expect(alone.score(images(), prompts, metadata)).rejects.toThrow(
      /no answer for these images of "b".*--ui/,
    );
  });

  it('tells pixels, sizes and prompts apart', async () => {
    const person = likesRed();
    const scorer = await makeReward('human', {}, { person });
    const values = [0.2, 0, 0, 0.9, 0, 0];
    await scorer.score(tf.tensor4d(values, [1, 1, 2, 3]), ['a'], [{}]);
    await scorer.score(tf.tensor4d(values, [1, 2, 1, 3]), ['a'], [{}]);
    await scorer.score(tf.tensor4d(values, [1, 1, 2, 3]), ['b'], [{}]);
    await scorer.score(tf.tensor4d([0.3, ...values.slice(1)], [1, 1, 2, 3]), ['a'], [{}]);
    await scorer.score(tf.tensor4d(values, [1, 1, 2, 3]), ['a'], [{}]);
    const keys = person.asked.map(({ key }) => key);
    expect(new Set(keys).size).toBe(4);
    expect(keys[4]).toBe(keys[0]);
  });

  it('says what is missing', async () => {
    await expect(makeReward('human')).rejects.toThrow(
      'human: nobody is there to ask: a person answers on the page of flow-grpo train --ui',
    );
    const file = join(folder, 'answers.jsonl');
    await writeFile(file, '{"key":"k","images":2,"judgement":{"best":2}}\n');
    await expect(readAnswers(file)).rejects.toThrow(/line 1 is not an answer: best: 2 is not one of the 2/);
  });

  it('stops asking when the run ends', async () => {
    const over = new AbortController();
    const person: Person = {
      ask: (_, signal) =>
        new Promise((_resolve, reject) => signal!.addEventListener('abort', () => reject(signal!.reason))),
    };
    const scoring = (await makeReward('human', {}, { person })).score(images(), prompts, metadata, {
      signal: over.signal,
    });
    over.abort(new Error('enough'));
    await expect(scoring).rejects.toThrow('enough');
  });
});
