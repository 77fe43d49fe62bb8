import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { makeReward, shapeOf } from './find';
import { chosenRewards, makeChosenReward, REWARDS, rewardChoiceSchema } from './index';

const NAMES = Object.keys(REWARDS) as (keyof typeof REWARDS)[];
/** Values for the options that a reward cannot do without. */
const NEEDED: Record<string, unknown> = {
  url: 'http://127.0.0.1:1',
  baseURL: 'http://127.0.0.1:1/v1',
  head: './head.pth',
};
const neededBy = (name: keyof typeof REWARDS) =>
  Object.fromEntries(
    Object.entries(shapeOf(REWARDS[name]))
      .filter(([, option]) => !option.safeParse(undefined).success)
      .map(([key]) => [key, NEEDED[key]]),
  );

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reward-modules-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(NAMES)('%s', (name) => {
  it('says what it is and what each option means', () => {
    const { summary } = REWARDS[name];
    expect(summary.length).toBeGreaterThan(20);
    expect(summary).not.toMatch(/\.$/);
    for (const [key, option] of Object.entries(shapeOf(REWARDS[name])))
      expect([key, option.description?.length ?? 0]).toEqual([key, expect.toSatisfy((n: number) => n > 5)]);
  });

  it('has the same options in a run file as on the command line, and refuses others in both', async () => {
    const needed = neededBy(name);
    const schema = rewardChoiceSchema();
    expect(schema.parse({ [name]: needed })).toEqual({ [name]: { weight: 1, ...needed } });
    expect(schema.safeParse({ [name]: 2 }).success).toBe(Object.keys(needed).length === 0);
    const odd = { ...needed, nonsense: 1 };
    expect(schema.safeParse({ [name]: odd }).success).toBe(false);
    await expect(makeReward(name, odd)).rejects.toThrow(`${name} has no option nonsense`);
    const [chosen] = await chosenRewards(schema.parse({ [name]: { ...needed, weight: 3 } }));
    expect(chosen).toMatchObject({ name, weight: 3, options: needed });
  });

  it('names the option of each source that it reads', () => {
    const options = Object.keys(shapeOf(REWARDS[name]));
    for (const { option, hint } of REWARDS[name].requiredFiles?.(neededBy(name)) ?? []) {
      expect(options).toContain(option);
      expect(hint).toBeTruthy();
    }
  });
});

describe('a module as a reward', () => {
  const module = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return `./${name}`;
  };
  const images = tf.zeros([2, 4, 4, 3]) as tf.Tensor4D;
  const scoresOf = async (key: string, entry: Record<string, unknown> | number = 1) => {
    const choice = rewardChoiceSchema({ [key]: entry }).parse({ [key]: entry as number });
    const [chosen] = await chosenRewards(choice, { folder });
    const scorer = await makeChosenReward(chosen!);
    return { chosen: chosen!, scorer, ...(await scorer.score(images, ['a', 'bcd'], [{}, {}])) };
  };

  it('is a function, a scorer or a definition with options, relative to the run file', async () => {
    const asFunction = module(
      'lengths.mjs',
      'export default (images, prompts) => prompts.map((p) => p.length);',
    );
    expect((await scoresOf(asFunction)).scores).toEqual([1, 3]);
    const asScorer = module(
      'fixed.mjs',
      'export default { name: "x", score: async (_, p) => ({ scores: p.map(() => 7), details: {} }) };',
    );
    expect((await scoresOf(asScorer)).scores).toEqual([7, 7]);
    const defined = module(
      'scaled.mjs',
      `const options = { safeParse: (given) => typeof given.by === 'number'
         ? { success: true, data: given }
         : { success: false, error: { issues: [{ code: 'custom', path: ['by'], message: 'must be a number' }] } } };
       export default { options, make: ({ by }) => (_, prompts) => Float32Array.from(prompts, () => by) };`,
    );
    const { chosen, scorer, scores } = await scoresOf(defined, { weight: 0.25, by: 5 });
    expect([chosen.weight, chosen.name, chosen.key]).toEqual([0.25, 'scaled', defined]);
    expect([scores, scorer.name]).toEqual([[5, 5], 'scaled']);
    await expect(scoresOf(defined, { by: 'x' })).rejects.toThrow('scaled.by: must be a number');
    await expect(scoresOf(asFunction, { by: 1 })).rejects.toThrow('lengths has no option by; it takes none');
  });

  it.each([
    ['./none.mjs', '', /none\.mjs cannot be loaded/],
    ['broken.mjs', 'export default (', /broken\.mjs cannot be loaded/],
    ['nothing.mjs', 'export const x = 1;', /nothing\.mjs must export a reward by default.*defineReward/],
    ['object.mjs', 'export default { summary: "no make" };', /object\.mjs must export a reward by default/],
    ['schema.mjs', 'export default { options: {}, make() {} };', /schema\.mjs: the options .* zod schema/],
    ['few.mjs', 'export default () => [1];', /few: the function gave 1 scores for 2 images/],
    ['text.mjs', 'export default () => ["a", "b"];', /few|text: the score of image 0 is a string/],
    ['undefined.mjs', 'export default () => {};', /undefined: the function gave a undefined/],
  ])('says what is wrong with %s', async (name, text, message) => {
    const key = text === '' ? name : module(name, text);
    await expect(scoresOf(key)).rejects.toThrow(message);
  });
});

describe('rewardChoiceSchema', () => {
  it('refuses unknown names and a choice of nothing', () => {
    expect(rewardChoiceSchema({ pickscor: 1 }).safeParse({ pickscor: 1 }).error?.issues[0]).toMatchObject({
      code: 'unrecognized_keys',
      keys: ['pickscor'],
    });
    expect(rewardChoiceSchema().safeParse({}).error?.issues[0]?.message).toContain('pickscore: 1');
  });

  it('tells editors of modules', () => {
    const json = z.toJSONSchema(rewardChoiceSchema(), { io: 'input' });
    expect(Object.keys((json as { patternProperties: object }).patternProperties)[0]).toContain('[jt]s');
    expect(json).toMatchObject({ additionalProperties: false });
  });
});
