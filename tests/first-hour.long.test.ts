/**
 * The first hour of somebody who has nothing but npm: a project from `npm create`, a run that is planned, trained, interrupted,
 * resumed, looked at, a reward of your own, and pictures scored. Each step is a process, as people start it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  npmName,
  ownEnvironment,
  packageFolders,
  packPackages,
  runCommand,
  tarballOf,
} from '@flow-grpo/test-support/packed';
import { afterAll, beforeAll, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const workplace = mkdtempSync(join(tmpdir(), 'flow-grpo-first-hour-'));
const project = join(workplace, 'my-run');
const children = new Set<ChildProcess>();

beforeAll(() => packPackages(workplace));
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(workplace, { recursive: true, force: true, maxRetries: 3 });
});

interface Ended {
  readonly code: number | null;
  readonly text: string;
}

/** A command of the project. `onText` sees all it has printed so far, whenever it prints. */
function start(
  command: string,
  args: readonly string[],
  onText?: (text: string, child: ChildProcess) => void,
) {
  const child = spawn(join(project, 'node_modules/.bin', command), args, {
    cwd: project,
    env: ownEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  let text = '';
  const heard = (chunk: Buffer) => {
    text += chunk;
    onText?.(text, child);
  };
  child.stdout.on('data', heard);
  child.stderr.on('data', heard);
  return new Promise<Ended>((resolve) => {
    child.on('close', (code) => {
      children.delete(child);
      resolve({ code, text });
    });
  });
}

const flowGrpo = (...args: string[]) => start('flow-grpo', args);
const inProject = (path: string) => join(project, path);
const epochs = (run: string) =>
  readFileSync(inProject(`${run}/metrics.jsonl`), 'utf8')
    .trim()
    .split('\n').length;

it('creates a project and installs it', async () => {
  const create = tarballOf('create', workplace);
  const args = [
    'exec',
    '--yes',
    `--package=file:${create}`,
    '--',
    'create-flow-grpo',
    'my-run',
    '--setup',
    'module',
  ];
  expect(await runCommand('npm', args, workplace)).toMatch(/Next:\n {2}cd my-run/);
  // Our packages are not on the registry here: their tarballs take the place of the versions that package.json asks for.
  const file = inProject('package.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8')) as { dependencies: Record<string, string> };
  for (const folder of packageFolders) {
    const name = npmName(folder);
    if (name in manifest.dependencies) manifest.dependencies[name] = `file:${tarballOf(folder, workplace)}`;
  }
  writeFileSync(file, JSON.stringify(manifest));
  const install = [
    'install',
    '--omit=dev',
    '--prefer-offline',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
  ];
  await runCommand('npm', install, project);
  expect(existsSync(inProject('node_modules/flow-grpo/dist/run.schema.json'))).toBe(true);
});

it('has a policy that TypeScript accepts', async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  await runCommand(
    process.execPath,
    [tsc, '-p', '.', '--typeRoots', join(root, 'node_modules/@types')],
    project,
  );
});

it('says which version it is, what the machine can run, and what would run', async () => {
  expect(await flowGrpo('--version')).toEqual({ code: 0, text: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) });
  const doctor = await flowGrpo('doctor', '--json');
  expect(doctor.code, doctor.text).toBe(0);
  expect(JSON.parse(doctor.text)).toMatchObject({ ok: true, backend: 'xla: works' });
  const plan = await flowGrpo('train', 'run.yaml', '--dry-run');
  expect(plan.code, plan.text).toBe(0);
  expect(plan.text).toMatch(/60 epochs × 128 images \(8 prompts × 16\)/);
  expect(existsSync(inProject('runs'))).toBe(false);
});

it('trains, saves when it is interrupted, resumes, and shows its page meanwhile', async () => {
  let page: Promise<string> | undefined;
  const args = ['train', 'run.yaml', '--epochs', '100000', '--ui'];
  const interrupted = await start('flow-grpo', args, (text, child) => {
    const [, url] = /live page: (http:\S+)/.exec(text) ?? [];
    if (page || !url || !/epoch \d+\/100000 {2}reward/.test(text)) return;
    page = fetch(url).then((response) => response.text());
    void page.finally(() => child.kill('SIGINT'));
  });
  expect(interrupted.code, interrupted.text).toBe(130);
  expect(interrupted.text).toMatch(/SIGINT: saving what is done, then exiting[\s\S]*interrupted after/);
  expect(await page).toMatch(/<html/);
  const done = epochs('runs/first');
  const resumed = await flowGrpo('train', 'run.yaml', '--epochs', String(done + 20), '--json');
  expect(resumed.code, resumed.text).toBe(0);
  expect(resumed.text).toContain(`Resumed after epoch ${done}`);
  expect(JSON.parse(resumed.text.trim().split('\n').at(-1)!)).toMatchObject({
    reason: 'finished',
    epochs: done + 20,
  });
  const metrics = readFileSync(inProject('runs/first/metrics.jsonl'), 'utf8').trim().split('\n');
  const rewards = metrics.map((line) => (JSON.parse(line) as { reward: number }).reward);
  expect(rewards).toHaveLength(done + 20);
  expect(rewards.at(-1)!).toBeGreaterThan(rewards[0]! + 0.1);
});

it('reports, evaluates and draws', async () => {
  const report = await flowGrpo('report', 'runs/first');
  expect(report.code, report.text).toBe(0);
  expect(existsSync(inProject('runs/first/report.html'))).toBe(true);
  const checkpoint = readdirSync(inProject('runs/first/checkpoints'))
    .filter((name) => /^epoch-\d+$/.test(name))
    .sort()
    .at(-1)!;
  const sample = [
    'sample',
    'run.yaml',
    '--checkpoint',
    `runs/first/checkpoints/${checkpoint}`,
    '-o',
    'runs/grid',
  ];
  const drawn = await flowGrpo(...sample);
  expect(drawn.code, drawn.text).toBe(0);
  expect(readdirSync(inProject('runs/grid/grids'))).toHaveLength(1);
  let page: Promise<string> | undefined;
  const served = await start('flow-grpo', ['ui', 'runs/first'], (text, child) => {
    const [, url] = /(http:\S+)/.exec(text) ?? [];
    if (page || !url) return;
    page = fetch(url).then((response) => response.text());
    void page.finally(() => child.kill('SIGINT'));
  });
  expect(served.code, served.text).toBe(0);
  expect(await page).toMatch(/<html/);
});

it('trains for a reward of its own', async () => {
  const file = inProject('policy.ts');
  const policy = readFileSync(file, 'utf8');
  const own = policy.replace('(value) => 1 - value', '(value, i) => (asked[i] === "red" ? 2 : 1) - value');
  expect(own).not.toBe(policy);
  writeFileSync(file, own);
  const other = await flowGrpo('train', 'run.yaml', '--epochs', '200', '-o', 'runs/first');
  expect(other.code, other.text).toBe(2); // the folder is that of another reward
  expect(other.text).toMatch(/setup\.module/);
  const trained = await flowGrpo('train', 'run.yaml', '--epochs', '2', '-o', 'runs/own');
  expect(trained.code, trained.text).toBe(0);
  expect(epochs('runs/own')).toBe(2);
});

it('scores pictures', async () => {
  const scored = await start('flow-grpo-score', [
    '-r',
    'jpeg_compressibility',
    '-i',
    'runs/first/grids',
    '-o',
    'scores',
  ]);
  expect(scored.code, scored.text).toBe(0);
  const { count } = JSON.parse(readFileSync(inProject('scores/scores.json'), 'utf8')) as { count: number };
  expect(count).toBe(readdirSync(inProject('runs/first/grids')).length);
});

it('trains the toy in an empty folder', async () => {
  const empty = inProject('empty');
  mkdirSync(empty);
  const bin = join(project, 'node_modules/.bin/flow-grpo');
  await runCommand(bin, ['train', '--epochs', '2'], empty);
  expect(existsSync(join(empty, 'runs/default/report.html'))).toBe(true);
});
