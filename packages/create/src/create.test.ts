import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { askChoices, CancelledError, terminalQuestions } from './ask';
import { choiceProblem, SETUPS, type SetupKind } from './choices';
import { main } from './main';
import { projectFiles } from './project-files';
import { shellWord } from './shell-word';
import { writeProject } from './write-project';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'create-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Runs the command; answers are given one after the other on a terminal that has any. */
async function create(args: readonly string[], answers?: string[]) {
  const said: string[] = [];
  const code = await main(args, {
    interactive: answers !== undefined,
    print: (text) => void said.push(text),
    complain: (text) => void said.push(text),
    ask: async (text) => {
      said.push(text);
      return answers?.shift() ?? '';
    },
  });
  return { code, text: said.join('\n') };
}

describe('npm create @flow-grpo', () => {
  it.each(Object.keys(SETUPS))('writes a project of %s and says how to go on', async (setup) => {
    const path = join(folder, 'My Run');
    const { code, text } = await create([path, '--setup', setup]);
    expect([code, text]).toEqual([
      0,
      expect.stringMatching(/cd '.*My Run'\n {2}npm install\n[\s\S]*npm run train$/),
    ]);
    const manifest = JSON.parse(await readFile(join(path, 'package.json'), 'utf8'));
    expect(manifest).toMatchObject({
      name: 'my-run',
      type: 'module',
      private: true,
      allowScripts: { koffi: false },
    });
    expect(Object.keys(manifest.dependencies)).toEqual(
      expect.arrayContaining(['flow-grpo', '@tensorflow/tfjs-core']),
    );
    expect(await readFile(join(path, 'run.yaml'), 'utf8')).toMatch(
      /^# yaml-language-server: \$schema=node_modules\/flow-grpo\//,
    );
    expect((await readdir(path)).includes('policy.ts')).toBe(setup === 'module');
  });

  it('asks on a terminal for what was not given', async () => {
    const path = join(folder, 'asked');
    const { code, text } = await create([path], ['showo2', './mine.ts', '']);
    expect(code, text).toBe(0);
    expect(text).toMatch(/What do you want to train\?[\s\S]*Reward: [\s\S]*File of prompts/);
    expect((await readdir(path)).sort()).toEqual(
      ['.gitignore', 'mine.ts', 'package.json', 'prompts.txt', 'run.yaml', 'tsconfig.json'].sort(),
    );
    expect(await readFile(join(path, 'run.yaml'), 'utf8')).toMatch(/reward:\n {4}\.\/mine\.ts: 1/);
  });

  it('keeps prompts that are there, and overwrites nothing else unless told to', async () => {
    await writeFile(join(folder, 'prompts.txt'), 'mine\n');
    expect((await create([folder, '--setup', 'showo2'])).code).toBe(0);
    expect(await readFile(join(folder, 'prompts.txt'), 'utf8')).toBe('mine\n');
    const again = await create([folder, '--setup', 'toy']);
    expect([again.code, again.text]).toEqual([
      1,
      expect.stringMatching(/run\.yaml.*: there already; --force replaces/),
    ]);
    expect((await create([folder, '--setup', 'toy', '--force'])).code).toBe(0);
    expect(await readFile(join(folder, 'run.yaml'), 'utf8')).toContain('setup: toy');
  });

  it("keeps the user's prompts and reward wherever they are, even with --force", async () => {
    const mine = await mkdtemp(join(tmpdir(), 'mine-'));
    const [prompts, reward] = [join(mine, 'prompts.txt'), join(mine, 'reward.ts')];
    await writeFile(prompts, 'mine\n');
    await writeFile(reward, 'export default () => [1];\n');
    const project = join(folder, 'run');
    const args = [project, '--setup', 'showo2', '--prompts', prompts, '--reward', reward];
    for (const more of [[], ['--force']]) expect((await create([...args, ...more])).code).toBe(0);
    expect(await readFile(prompts, 'utf8')).toBe('mine\n');
    expect(await readFile(reward, 'utf8')).toBe('export default () => [1];\n');
    expect((await readdir(project)).sort()).toEqual(
      ['.gitignore', 'package.json', 'run.yaml', 'tsconfig.json'].sort(),
    );
    await rm(mine, { recursive: true });
  });

  it.each([
    [['--help'], 0, /--setup <kind> {5}toy: /],
    [['--version'], 0, /^\d+\.\d+\.\d+/],
    [['--stup', 'toy'], 2, /--stup[\s\S]*npm create @flow-grpo/],
    [['a', 'b'], 2, /give one folder/],
    [['a'], 2, /--setup: give toy, module, showo2, z-image; questions can only be asked in a terminal/],
    [['a', '--setup', 'sdxl'], 2, /--setup sdxl: give toy, module, showo2, z-image/],
  ])('%j ends with %i', async (args, code, message) => {
    const ended = await create(args);
    expect(ended.text).toMatch(message);
    expect(ended.code).toBe(code);
  });
});

it.each([
  ['a file', 'file.txt', /file\.txt.*: this is a file, not a folder; choose another folder/],
  ['a folder below a file', 'file.txt/new', /file\.txt.*: part of this path is a file.*; choose another/],
  ['a name that is too long', 'n'.repeat(300), /n: the name is too long for the file system/],
])('says why it cannot write a project into %s', async (_, name, message) => {
  await writeFile(join(folder, 'file.txt'), '');
  const { code, text } = await create([join(folder, name), '--setup', 'toy']);
  expect(text).toMatch(message);
  expect(code).toBe(1);
});

describe('askChoices', () => {
  it('asks again for a kind that is none, and gives up after three', async () => {
    const answers = ['what', 'toy'];
    expect(await askChoices({}, async () => answers.shift()!)).toEqual({ setup: 'toy' });
    const { setup } = await askChoices({}, async () => 'what');
    expect(choiceProblem({ setup })).toMatch(/--setup what: give/);
  });

  it('takes answers from a terminal, and a terminal that ends for a no', async () => {
    const input = new PassThrough();
    const { ask, close } = terminalQuestions(input, new PassThrough());
    const first = ask('What?', 'toy');
    input.write('module\n');
    expect(await first).toBe('module');
    const second = ask('And?', 'toy');
    input.end();
    await expect(second).rejects.toThrow(CancelledError);
    await expect(ask('Still there?', 'toy')).rejects.toThrow();
    close();
  });

  it('leaves nothing when nobody answers', async () => {
    const leaving = async () => {
      throw new CancelledError('cancelled; nothing is written');
    };
    const said: string[] = [];
    const keep = (text: string) => void said.push(text);
    const path = join(folder, 'left');
    const code = await main([path], { interactive: true, print: keep, complain: keep, ask: leaving });
    expect([code, said]).toEqual([130, ['cancelled; nothing is written']]);
    await expect(readdir(path)).rejects.toThrow('ENOENT');
  });
});

describe('projectFiles', () => {
  it.each([
    [{ setup: 'toy', prompts: 'p.txt' }, /leave --prompts out/],
    [{ setup: 'module', reward: 'ocr' }, /the reward of a module is the function in policy\.ts/],
    [{ setup: 'showo2', reward: 'a b' }, /--reward a b: give the name/],
    [{ setup: 'showo2', prompts: ' ' }, /--prompts: give a file, such as prompts\.txt/],
    [{ setup: 'module', prompts: 'p.jsonl' }, /--prompts p\.jsonl: .*one prompt per line of a text file/],
  ] as const)('has no project for %j', (choices, problem) => {
    expect(choiceProblem(choices)).toMatch(problem);
  });

  it.each([
    ['prompts.txt', 'a red apple on a table\n'],
    ['prompts.jsonl', '{"prompt":"a red apple on a table"}\n'],
    ['prompts.csv', 'prompt\na red apple on a table\n'],
    ['prompts.parquet', undefined],
    ['dataset/pickscore', undefined],
  ])('has prompts in the format that the name %s asks for', (prompts, start) => {
    const text = projectFiles({ setup: 'showo2', prompts })[prompts];
    expect(text?.slice(0, start?.length)).toBe(start);
  });

  it.each(['it\'s "mine".txt', 'a#b?c%20.txt', 'ünï 火.txt', '../up.txt'])(
    'has a policy that finds its prompts in %s',
    async (name) => {
      const files = projectFiles({ setup: 'module', prompts: name });
      const project = join(folder, 'project');
      await writeProject(project, files);
      const [, path] = /resolve\(import\.meta\.dirname, (".*")\)/.exec(files['policy.ts']!) ?? [];
      expect(await readFile(join(project, JSON.parse(path!)), 'utf8')).toMatch(/^red\ngreen\n/);
    },
  );

  it('gives a model of its own in forty lines', () => {
    const { 'policy.ts': policy } = projectFiles({ setup: 'module' });
    const lines = policy!.trim().split('\n');
    expect(lines.length).toBeGreaterThan(30);
    expect(lines.length).toBeLessThan(45);
  });

  it.each(Object.keys(SETUPS) as SetupKind[])('comments most options of %s', (setup) => {
    const options = projectFiles({ setup })
      ['run.yaml']!.split('\n')
      .filter((line) => /: \S/.test(line) && !line.startsWith('#'));
    expect(options.filter((line) => line.includes('#')).length / options.length).toBeGreaterThan(0.5);
  });
});

describe('a path to be copied into a shell', () => {
  it.each([
    ['my-run', 'my-run'],
    ['../ünï/run.2', '../ünï/run.2'],
    ['a b', "'a b'"],
    ['x;rm -rf y', "'x;rm -rf y'"],
    ["it's", "'it'\\''s'"],
    ['$HOME', "'$HOME'"],
    ['-x', './-x'],
    ['new\nline', "'new\nline'"],
  ])('%j is %s', (path, word) => {
    expect(shellWord(path)).toBe(word);
  });
});
