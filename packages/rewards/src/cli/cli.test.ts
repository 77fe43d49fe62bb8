import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { sceneBatch, shapeScenes } from '@flow-grpo/datasets';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyClip } from '../models/scorers/tiny-models.testing';
import { rewardServerClient } from '../server/client';
import { shapeEval } from '../shapes';
import { bundleCommand, temporaryFolder } from './command.testing';
import type { ScoresData } from './page/scores-data';

const batch = sceneBatch(shapeScenes({ size: 64, seed: 21 }), 0, 12);
/** Scenes under prompts of which every third belongs to another scene. */
const asked = batch.metadata.map((own, i) => (i % 3 === 2 ? batch.metadata[(i + 1) % 12]! : own));
let work: string;
let bin: string;

const png = (i: number) =>
  sharp(
    Uint8Array.from(batch.images.subarray(i * 12288, (i + 1) * 12288), (v) => Math.round(255 * v)),
    { raw: { width: 64, height: 64, channels: 3 } },
  )
    .png()
    .toBuffer();

beforeAll(async () => {
  work = temporaryFolder();
  bin = await bundleCommand(work);
  mkdirSync(join(work, 'images'));
  for (let i = 0; i < 12; i++) writeFileSync(join(work, 'images', `${i}.png`), await png(i));
  writeFileSync(join(work, 'images', 'notes.txt'), 'not an image');
  const lines = asked.map((metadata) => JSON.stringify(metadata));
  writeFileSync(join(work, 'prompts.jsonl'), lines.join('\n'));
});
afterAll(() => rmSync(work, { recursive: true }));

/** Runs the command in the folder of the test. */
async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = promisify(execFile)(process.execPath, [bin, ...args], { cwd: work });
  const end = await child.then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  return { code: end.code, stdout: end.stdout, stderr: end.stderr };
}

interface Report {
  rewards: string[];
  count: number;
  mean: number;
  images: { file: string; prompt: string; score: number; details: Record<string, number | null> }[];
}
/** What the page of scores shows. */
const pageData = (html: string) =>
  JSON.parse(JSON.parse(/flowGrpoScores = JSON\.parse\((".*")\);/.exec(html)![1]!)) as ScoresData;
const report = (folder: string) =>
  JSON.parse(readFileSync(join(work, folder, 'scores.json'), 'utf8')) as Report;

describe('flow-grpo-score', () => {
  it('scores a folder in natural order, to CSV, JSON and a page sorted by score', async () => {
    const { code, stdout, stderr } = await run(
      ...['--reward', 'shapes', '--images', 'images', '--prompts', 'prompts.jsonl', '--out', 'out'],
      ...['--batch-size', '5'],
    );
    expect(stderr).toBe('');
    expect(code).toBe(0);
    const images = tf.tensor4d(batch.images, batch.shape);
    const expected = await shapeEval().score(
      images,
      asked.map(({ prompt }) => prompt),
      asked,
    );
    images.dispose();
    const { rewards, count, mean, images: rows } = report('out');
    expect([rewards, count]).toEqual([['shapes'], 12]);
    expect(rows.map(({ file }) => file)).toEqual(Array.from({ length: 12 }, (_, i) => `${i}.png`));
    expect(rows.map(({ prompt }) => prompt)).toEqual(asked.map(({ prompt }) => prompt));
    expect(rows.map(({ score }) => score)).toEqual(expected.scores);
    expect(new Set(expected.scores).size).toBeGreaterThan(1);
    expect(rows.map(({ details }) => details.strict)).toEqual(expected.details.strict);
    expect(mean).toBeCloseTo(expected.scores.reduce((a, b) => a + b) / 12, 12);
    expect(stdout).toContain(`12 images, mean score ${Number(mean.toPrecision(6))}`);

    const csv = readFileSync(join(work, 'out/scores.csv'), 'utf8').split('\r\n');
    expect(csv[0]).toMatch(/^file,prompt,score,strict,partial,/);
    expect(csv).toHaveLength(14);
    expect(csv[1]!.startsWith(`0.png,${rows[0]!.prompt},${rows[0]!.score},`)).toBe(true);

    const html = readFileSync(join(work, 'out/scores.html'), 'utf8');
    expect(html).not.toMatch(/(src|href)="(?!data:)/);
    const shown = pageData(html).images.map(({ file }) => file);
    const sorted = rows.toSorted((a, b) => b.score - a.score).map(({ file }) => file);
    expect(shown).toEqual(sorted);
  });

  it('adds rewards up, needs no prompts where they play no part, and quotes what CSV and HTML must', async () => {
    mkdirSync(join(work, 'two'));
    writeFileSync(join(work, 'two', 'a,b <i>.png'), await png(0));
    writeFileSync(join(work, 'two', 'c.png'), await png(1));
    const { code } = await run(
      ...['-r', 'jpeg_compressibility=2', '-r', 'jpeg_incompressibility=0.5', '-i', 'two', '-o', 'sum'],
    );
    expect(code).toBe(0);
    for (const { score, details } of report('sum').images) {
      expect(score).toBe(2 * details.jpeg_compressibility! + 0.5 * details.jpeg_incompressibility!);
    }
    expect(readFileSync(join(work, 'sum/scores.csv'), 'utf8')).toContain('\r\n"a,b <i>.png",,');
    const html = readFileSync(join(work, 'sum/scores.html'), 'utf8');
    expect(html).not.toContain('<i>.png');
    expect(pageData(html).images.map(({ file }) => file)).toContain('a,b <i>.png');
  });

  it('leaves hidden files out with a word, and takes an empty one for a mistake', async () => {
    mkdirSync(join(work, 'companions'));
    writeFileSync(join(work, 'companions', 'a.png'), await png(0));
    writeFileSync(join(work, 'companions', '._a.png'), 'Mac OS X');
    const args = ['-r', 'jpeg_compressibility', '-i', 'companions', '-o', 'visible'];
    const { code, stderr } = await run(...args);
    expect([code, stderr]).toEqual([0, 'companions: 1 hidden file left out (._a.png)\n']);
    expect(report('visible').images.map(({ file }) => file)).toEqual(['a.png']);
    writeFileSync(join(work, 'companions', 'b.png'), '');
    const empty = await run(...args);
    expect(empty.stderr).toContain('companions/b.png cannot be read as an image: the file is empty');
    expect(empty.code).toBe(2);
  });

  it('takes a module as a reward, with its weight and options', async () => {
    writeFileSync(
      join(work, 'mine.mjs'),
      `export default {
         needsPrompts: false,
         options: { safeParse: (data) => ({ success: true, data }) },
         make: ({ level = 1 }) => (images) => images.map(({ bytes }) => level * bytes.length),
       };`,
    );
    const { code, stderr } = await run(
      ...['-r', './mine.mjs=2', '-s', 'mine.level=3', '-i', 'images', '-o', 'module'],
    );
    expect([code, stderr]).toEqual([0, '']);
    for (const { file, score, details } of report('module').images) {
      const size = readFileSync(join(work, 'images', file)).length;
      expect([score, details.mine]).toEqual([6 * size, 3 * size]);
    }
  });

  it('matches prompts to images by file name', async () => {
    const rows = asked.map((metadata, i) => JSON.stringify({ ...metadata, file_name: `${i}.png` }));
    writeFileSync(join(work, 'named.jsonl'), [...rows.reverse(), rows[0]].join('\n'));
    const { code } = await run('-r', 'shapes', '-i', 'images', '-p', 'named.jsonl', '-o', 'named');
    expect(code).toBe(0);
    expect(report('named').images.map(({ prompt }) => prompt)).toEqual(asked.map(({ prompt }) => prompt));
  });

  it('scores by a model from a folder', async () => {
    const folder = join(work, 'tiny');
    mkdirSync(folder);
    await writeTinyClip(folder);
    const args = [
      '-r',
      'pickscore',
      '-s',
      `pickscore.model=${folder}`,
      '-i',
      'images',
      '-p',
      'prompts.jsonl',
    ];
    const [xla, cpu] = await Promise.all([
      run(...args, '-o', 'xla', '--device', 'cpu'),
      run(...args, '-o', 'cpu', '--backend', 'cpu'),
    ]);
    expect([xla.stderr, xla.code, cpu.code]).toEqual(['', 0, 0]);
    const scores = report('xla').images.map(({ score }) => score);
    expect(new Set(scores).size).toBeGreaterThan(6);
    report('cpu').images.forEach(({ score }, i) => {
      expect(score).toBeCloseTo(scores[i]!, 4);
    });
  });

  it('lists its options and the rewards with theirs', async () => {
    const { code, stdout } = await run('--help');
    expect(code).toBe(0);
    for (const part of ['--images <folder>', 'serve', 'pickscore.model', 'jpeg_compressibility']) {
      expect(stdout).toContain(part);
    }
  });

  it('prints its version, and ends without a word when nobody reads on', async () => {
    expect(await run('--version')).toEqual({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: '',
    });
    // `true` reads nothing and ends.
    const script = 'set -o pipefail; "$0" "$1" --help | true';
    const { stderr } = await promisify(execFile)('bash', ['-c', script, process.execPath, bin]);
    expect(stderr).toBe('');
  });

  it('ends with 130 when it is interrupted, and writes nothing', async () => {
    const slow =
      'async (images) => (console.log("scoring"), await new Promise((r) => setTimeout(r, 200)), images.map(() => 1))';
    writeFileSync(join(work, 'slow.mjs'), `export default ${slow};`);
    const args = [
      '-r',
      './slow.mjs',
      '-i',
      'images',
      '-p',
      'prompts.jsonl',
      '-o',
      'cut',
      '--batch-size',
      '1',
    ];
    const child = spawn(process.execPath, [bin, ...args], { cwd: work });
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const ended = new Promise<number | null>((done) => child.once('close', done));
    createInterface(child.stdout).once('line', () => child.kill('SIGINT'));
    expect(await ended).toBe(130);
    expect(said).toBe('flow-grpo-score: interrupted; nothing was written\n');
    expect(readdirSync(join(work, 'cut'))).toEqual([]);
  });

  const shapes = ['-r', 'shapes', '-p', 'prompts.jsonl', '-o', 'none'];
  const jpeg = ['-r', 'jpeg_compressibility', '-i', 'one'];
  it.each<[string, string[], string]>([
    ['a missing folder', [...shapes, '-i', 'nowhere'], 'the folder nowhere does not exist'],
    ['a file for a folder', [...shapes, '-i', 'prompts.jsonl'], 'prompts.jsonl is a file, not a folder'],
    ['a folder without images', [...shapes, '-i', 'empty'], 'empty has no images (png, jpg'],
    ['counts that differ', [...shapes, '-i', 'one'], 'one has 1 images and prompts.jsonl has 12 prompts'],
    [
      'no match',
      [...shapes, '-i', 'one', '--match', 'tag'],
      'prompts.jsonl has no row whose tag is only.png',
    ],
    ['no prompts', ['-r', 'shapes', '-i', 'one'], 'needs prompts: give a file by --prompts'],
    [
      'a file for --out',
      [...jpeg, '-o', 'prompts.jsonl'],
      '--out prompts.jsonl: this is a file, not a folder',
    ],
    [
      'an --out below a file',
      [...jpeg, '-o', 'prompts.jsonl/x'],
      'part of this path is a file; choose another',
    ],
    ['an --out with a folder in the way', [...jpeg, '-o', 'way'], 'scores.html in it is a folder; choose'],
    ['a broken image', ['-r', 'jpeg_compressibility', '-i', 'broken'], 'bad.png cannot be read as an image'],
    ['an unknown reward', ['-r', 'pick-scor', '-i', 'one'], 'no reward pick-scor (did you mean pickscore?)'],
    [
      'an odd weight',
      ['-r', 'shapes=much', '-i', 'one'],
      '--reward shapes=much: the weight must be a number',
    ],
    [
      'an unknown option',
      [...shapes, '-i', 'images', '-s', 'shapes.strictWeigth=1'],
      'shapes has no option strictWeigth (did you mean strictWeight?)',
    ],
    ['an odd option', [...shapes, '-i', 'images', '-s', 'shapes.strictWeight=2'], 'shapes.strictWeight: '],
    ['a setting of nothing', [...shapes, '-i', 'images', '-s', 'strictWeight=1'], 'reward.option=value'],
    [
      'a missing checkpoint',
      ['-r', 'clipscore', '-s', 'clipscore.model=./none/at-all', '-i', 'images', '-p', 'prompts.jsonl'],
      'The published checkpoint is at https://huggingface.co/openai/clip-vit-large-patch14',
    ],
    [
      'a missing head',
      ['-r', 'aesthetic', '-i', 'images', '-o', 'none'],
      'sac+logos+ava1-l14-linearMSE.pth of https://github.com/',
    ],
    [
      'an odd device',
      ['-r', 'pickscore', ...shapes.slice(2), '-i', 'images', '--device', 'gpu'],
      '--device gpu',
    ],
  ])('says what is wrong: %s', async (_, args, message) => {
    mkdirSync(join(work, 'empty'), { recursive: true });
    mkdirSync(join(work, 'way/scores.html'), { recursive: true });
    mkdirSync(join(work, 'one'), { recursive: true });
    writeFileSync(join(work, 'one', 'only.png'), await png(0));
    mkdirSync(join(work, 'broken'), { recursive: true });
    writeFileSync(join(work, 'broken', 'bad.png'), 'no picture');
    const { code, stderr } = await run(...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(code).toBe(2);
  });

  it('serves a reward until it is told to end', async () => {
    const child = spawn(process.execPath, [bin, 'serve', '-r', 'shapes', '--port', '0'], { cwd: work });
    const ended = new Promise<number | null>((done) => child.once('exit', done));
    const url = await new Promise<string>((done) => createInterface(child.stdout).once('line', done));
    const images = tf.tensor4d(batch.images, batch.shape);
    const prompts = asked.map(({ prompt }) => prompt);
    expect(await rewardServerClient({ url }).score(images, prompts, asked)).toEqual(
      await shapeEval().score(images, prompts, asked),
    );
    images.dispose();
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });
});
