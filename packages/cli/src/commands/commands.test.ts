import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gaussianFlow } from '@flow-grpo/grpo-trainer';
import { acquireLease } from '@flow-grpo/grpo-trainer/node';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readJsonLines } from '../logging/json-lines';
import adaptedToy from '../setup/testing/adapted-toy';
import { main } from './main';

let folder: string;
let printed: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cli-'));
  printed = [];
  const keep = (...texts: unknown[]) => void printed.push(texts.join(' '));
  vi.spyOn(console, 'log').mockImplementation(keep);
  vi.spyOn(console, 'error').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  process.exitCode = undefined;
  await rm(folder, { recursive: true });
});

const run = (...args: string[]) => main(['node', 'flow-grpo', ...args]);

/** A setup that knows some prompts. */
const moduleOf = (prompts: readonly string[]) => `
const { gaussianFlow } = globalThis;
const prompts = ${JSON.stringify(prompts)};
export default () => ({
  policy: gaussianFlow({ prompts, mean: [0.2, 0.2], std: 0.2 }),
  prompts: prompts.slice(0, 2).map((prompt) => ({ prompt })),
  scorer: async (images) => [...(await images.data())].filter((_, i) => i % 3 === 0),
});`;

describe('flow-grpo', () => {
  it('trains, resumes, evaluates, samples and reports', async () => {
    const config = join(folder, 'run.yaml');
    await writeFile(
      config,
      'epochs: 3\nsaveEvery: 1\nsampling: { numSteps: 6, promptsPerEpoch: 4, samplesPerPrompt: 4 }\ntraining:\n  learningRate: 0.01\ngrpo:\n  clipRange: 0.2\n',
    );
    const output = join(folder, 'run');
    await run('train', config, '-o', output, '--backend', 'cpu');
    expect(printed.join('\n')).toContain('3 epochs × 16 images (4 prompts × 4) = 48');
    await run('train', config, '-o', output, '--backend', 'cpu', '-s', 'epochs=5');
    expect(printed.join('\n')).toContain('Resumed after epoch 3');
    const lines = await readJsonLines<{ epoch: number }>(join(output, 'metrics.jsonl'));
    expect(lines.map(({ epoch }) => epoch)).toEqual([0, 1, 2, 3, 4]);
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
    printed = [];
    const checkpoint = join(output, 'checkpoints/epoch-000005');
    await run('eval', config, '--backend', 'cpu', '--checkpoint', checkpoint);
    expect(JSON.parse(printed.at(-1)!)).toMatchObject({ epoch: 5, images: 64 });
    await run('sample', config, '--backend', 'cpu', '-o', join(folder, 'samples'));
    expect(existsSync(join(folder, 'samples/grids/epoch-000000.png'))).toBe(true);
    await run('report', output);
    const html = await readFile(join(output, 'report.html'), 'utf8');
    expect(html).toContain('src="report/run-0.js"');
    expect(existsSync(join(output, 'report/run-0.js'))).toBe(true);
    expect(html).not.toMatch(/(src|href)="(?!data:|report\/)/);
  });

  it('trains adapters, which PEFT’s layout holds, and evaluates a folder of them', async () => {
    // A module here imports nothing that is not built; it finds the setup of this process.
    const setup = join(folder, 'adapted.mjs');
    await writeFile(setup, 'export default globalThis.adaptedToy;');
    vi.stubGlobal('adaptedToy', adaptedToy);
    const output = join(folder, 'run');
    const shared = ['--setup', setup, '--backend', 'cpu', '--training.learningRate', '0.05'];
    const sizes = [
      '--sampling.promptsPerEpoch',
      '2',
      '--sampling.samplesPerPrompt',
      '8',
      '--sampling.numSteps',
      '4',
    ];
    await run('train', ...shared, ...sizes, '-o', output, '--epochs', '3', '--ema.enabled', 'false');
    expect(printed.join('\n')).toContain(`adapters: ${join(output, 'adapter')}`);
    expect(existsSync(join(output, 'model.safetensors'))).toBe(false);
    const json = JSON.parse(await readFile(join(output, 'adapter/adapter_config.json'), 'utf8'));
    expect(json).toMatchObject({ r: 2, lora_alpha: 4, base_model_name_or_path: 'someone/flow' });
    const evaluated = async (...more: string[]) => {
      await run('eval', ...shared, ...sizes, '--ema.enabled', 'false', ...more);
      return JSON.parse(printed.at(-1)!) as { reward: number };
    };
    const checkpoint = join(output, 'checkpoints/epoch-000003');
    const [without, saved, trained] = [
      await evaluated(),
      await evaluated('--adapter', join(output, 'adapter')),
      await evaluated('--checkpoint', checkpoint),
    ];
    expect(saved.reward).toBe(trained.reward);
    expect(saved.reward).toBeGreaterThan(without.reward);
    await run('eval', ...shared, '--adapter', join(output, 'adapter'), '--checkpoint', checkpoint);
    expect(printed.at(-1)).toContain('--checkpoint and --adapter: give only one of them');
    await run('eval', '--backend', 'cpu', '--adapter', join(output, 'adapter'));
    expect(printed.at(-1)).toContain('--adapter: setup toy takes no adapters');
    await run('eval', ...shared, '--adapter', folder);
    expect(printed.at(-1)).toMatch(/--adapter: .*adapter_config.json cannot be read/);
    expect(process.exitCode).toBe(2);
  });

  it('pre-trains in a folder that nobody else has, or takes it over', async () => {
    const setup = join(folder, 'setup.mjs');
    // tfjs of this package: a module outside of the repository finds none.
    await writeFile(
      setup,
      `export default ({ tf }) => ({ pretrain: {
        params: { shift: globalThis.tf.zeros([2]) },
        velocity: (params, x) => globalThis.tf.add(globalThis.tf.mul(x, 0), params.shift),
        batchAt: () => ({ latents: globalThis.tf.ones([4, 2]), condition: null }),
        options: { steps: 2 },
      } });`,
    );
    Object.assign(globalThis, { tf });
    const output = join(folder, 'run');
    const pretrain = (...more: string[]) =>
      run('pretrain', '--setup', setup, '-o', output, '--backend', 'cpu', ...more);
    const lease = await acquireLease(join(output, 'pretrain'));
    await pretrain().catch((error: Error) => printed.push(error.message));
    expect(printed.join('\n')).toMatch(/pretrain is in use by process .*--take-over/);
    expect(existsSync(join(output, 'model.safetensors'))).toBe(false);
    await pretrain('--take-over');
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
    await expect(lease.check()).rejects.toThrow(/taken over/);
    await lease.release();
    expect(existsSync(join(output, 'pretrain/lease.json'))).toBe(false);
  });

  it('writes states of prompts for models with a text encoder alone', async () => {
    const setup = { kind: 'showo2', model: '/no/model', dataset: '/no/prompts', reward: { ocr: 1 } };
    await run('embed', '-s', `setup=${JSON.stringify(setup)}`, '--to', join(folder, 'a.safetensors'));
    expect(printed.at(-1)).toMatch(/Show-o2 has no separate text encoder/);
    await run('embed', '--backend', 'cpu', '--to', join(folder, 'a.safetensors'));
    expect(printed.at(-1)).toContain('toy has no text encoder');
    expect(process.exitCode).toBe(2);
    const zImage = { kind: 'z-image', model: '/no/model', dataset: '/no/prompts', reward: { ocr: 1 } };
    await run('embed', '-s', `setup=${JSON.stringify(zImage)}`, '--backend', 'cpu');
    expect(printed.at(-1)).toContain('name the file to write: --to, or setup.promptEmbeddings');
  });

  it('refuses what it does not know, with a suggestion', async () => {
    await run('train', '-s', 'training.learning_rate=1', '-o', folder);
    expect(process.exitCode).toBe(2);
    expect(printed.join('\n')).toContain(
      'training.learning_rate is not an option; did you mean training.learningRate?',
    );
    await run('train', '-s', 'sampling.noiseLevel=0', '-o', folder);
    expect(printed.join('\n')).toContain('sampling.noiseLevel is 0');
    await run('train', '--setup', join(folder, 'none.mjs'), '-o', folder, '--backend', 'cpu');
    expect(printed.join('\n')).toMatch(/none\.mjs does not exist/);
  });

  it('plans without training, and says what is missing', async () => {
    const output = join(folder, 'planned');
    await run('train', '--dry-run', '-o', output, '-s', 'epochs=3', '--backend', 'cpu');
    expect(printed.join('\n')).toContain('3 epochs ×');
    expect(process.exitCode).toBeUndefined();
    expect(existsSync(output)).toBe(false);
    const setup = { kind: 'showo2', model: '/no/model', dataset: '/no/prompts', reward: { ocr: 1 } };
    await run('train', '--dry-run', '-o', output, '-s', `setup=${JSON.stringify(setup)}`);
    expect(process.exitCode).toBe(2);
    expect(printed.join('\n')).toMatch(
      /setup\.model: \/no\/model does not exist.*\n.*setup\.dataset: \/no\/prompts/,
    );
  });

  it('pre-trains, and goes on where it was', async () => {
    const output = join(folder, 'pretrained');
    await run('pretrain', '-o', output, '--backend', 'cpu');
    expect(printed.join('\n')).toMatch(/step 200\/200 {2}loss 0\.\d+ {2}[\d.]+ steps\/s/);
    expect(printed.at(-1)).toContain('finished after 200 steps');
    expect(existsSync(join(output, 'model.safetensors'))).toBe(true);
    printed = [];
    await run('pretrain', '-o', output, '--backend', 'cpu');
    expect(printed.join('\n')).not.toContain('step 50/200'); // it was done
  });

  it('says what this machine can run', async () => {
    await run('doctor', '--backend', 'cpu');
    expect(process.exitCode).toBeUndefined();
    expect(printed.at(-1)).toMatch(/Node +v\d+[\s\S]*backend +cpu: works/);
    await run('doctor', '--backend', 'none');
    expect(process.exitCode).toBe(1);
    expect(printed.at(-1)).toMatch(
      /backend +none: there is no backend none in Node; give xla, tensorflow, wasm, cpu/,
    );
  });

  it.each<[string, readonly string[], RegExp]>([
    ['another module', ['-s', 'setup=OTHER'], /setup\.module: .*--allow-changed setup\.module/],
    ['allowed', ['-s', 'setup=OTHER', '--allow-changed', 'setup.module'], /"epoch":1/],
    [
      'weights of another shape',
      ['-s', 'setup=WIDE', '--allow-changed', 'setup.module'],
      /mean\.weight is \[2,2\], now \[3,2\]/,
    ],
    ['other evaluation prompts', ['-s', 'setup.options.evaluated=1'], /setup\.options: /],
  ])('evaluates no checkpoint with %s in silence', async (_, args, message) => {
    vi.stubGlobal('gaussianFlow', gaussianFlow); // a module here imports nothing that is not built
    const write = async (name: string, prompts: string[]) => {
      const path = join(folder, `${name}.mjs`);
      await writeFile(path, moduleOf(prompts));
      return path;
    };
    const mine = await write('mine', ['a', 'b']);
    const config = join(folder, 'run.yaml');
    await writeFile(
      config,
      `epochs: 1\nsampling: { numSteps: 4, promptsPerEpoch: 2, samplesPerPrompt: 4 }\nsetup: { kind: module, path: ${mine} }\n`,
    );
    const output = join(folder, 'run');
    await run('train', config, '-o', output, '--backend', 'cpu');
    expect(process.exitCode).toBeUndefined();
    const places = {
      OTHER: `{ kind: module, path: ${await write('other', ['b', 'a'])} }`,
      WIDE: `{ kind: module, path: ${await write('wide', ['a', 'b', 'c'])} }`,
    };
    const given = args.map((arg) => arg.replace(/OTHER|WIDE/, (name) => places[name as keyof typeof places]));
    const checkpoint = join(output, 'checkpoints/epoch-000001');
    await run('eval', config, '--backend', 'cpu', '--checkpoint', checkpoint, ...given);
    expect(printed.at(-1)).toMatch(message);
  });

  it('resumes from a checkpoint by its path, and starts again when told to', async () => {
    const output = join(folder, 'run');
    const flags = ['-o', output, '--backend', 'cpu', '--saveEvery', '1', '--sampling.promptsPerEpoch', '2'];
    await run('train', ...flags, '--epochs', '3');
    const path = join(output, 'checkpoints/epoch-000002');
    await run('train', ...flags, '--epochs', '3', '--resume', path);
    expect(printed.join('\n')).toContain('Resumed after epoch 2');
    await run('train', ...flags, '--epochs', '1', '--no-resume');
    expect(printed.join('\n')).toContain('Checkpoints of later epochs are now in');
    expect(await readJsonLines(join(output, 'metrics.jsonl'))).toHaveLength(1);
    await run('train', ...flags, '--grpo.beta', '0.1', '--epochs', '2');
    expect(process.exitCode).toBe(2);
    expect(printed.join('\n')).toMatch(/made with another configuration \(grpo.beta: 0 → 0.1\)/);
  });

  it('says so when a disk is full, wherever it was written to', async () => {
    const setup = join(folder, 'full.mjs');
    await writeFile(
      setup,
      `const never = () => {};
      export default () => ({
        policy: { params: {}, trainable: [], latentShape: [1], encodePrompts: never, velocity: never, decode: never },
        prompts: { length: 99, at: () => { throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' }); } },
        scorer: { name: 'none', score: never },
      });`,
    );
    await run('train', '--setup', setup, '-o', join(folder, 'run'), '--backend', 'cpu');
    expect(process.exitCode).toBe(1);
    expect(printed.at(-1)).toMatch(
      /no space left on device, write: the disk is full. Existing checkpoints are intact/,
    );
  });

  it('looks through a finished run for signs of a hacked reward', async () => {
    const of = (black: number) =>
      Array.from({ length: 40 }, (_, epoch) =>
        JSON.stringify({
          ...{ epoch, samples: 128 * (epoch + 1), reward: 0.5 + 0.01 * epoch, rewardStd: 0.2 },
          'images.nearBlack': 0.004 + (black * epoch) / 40,
        }),
      ).join('\n');
    const file = join(folder, 'metrics.jsonl');
    await writeFile(file, of(0.05));
    await run('inspect', folder);
    expect(process.exitCode).toBe(1);
    expect(printed.at(-1)).toMatch(/may have been hacked: epoch \d+: .*near-black pixels take over/);
    process.exitCode = undefined;
    await writeFile(file, of(0.01));
    await run('inspect', folder);
    expect(process.exitCode).toBeUndefined();
    expect(printed.at(-1)).toBe('No sign of reward hacking in 40 epochs (5120 images).');
    await run('inspect', folder, '--json');
    expect(JSON.parse(printed.at(-1)!)).toEqual({
      ...{ ok: true, problems: [], epochs: 40, samples: 5120 },
      compared: true,
    });
    // Nothing seen in a run whose start is its end says nothing.
    await writeFile(file, of(0.05).split('\n').slice(0, 19).join('\n'));
    await run('inspect', folder);
    expect(printed.at(-1)).toMatch(/^Too early to say: 19 epochs \(2432 images\), .* the first 10\./);
    await run('inspect', folder, '--window', '9', '--json');
    expect(JSON.parse(printed.at(-1)!)).toMatchObject({ compared: true });
    // The run's own configuration, unless a flag says something else.
    await writeFile(file, of(0.05));
    await writeFile(join(folder, 'config.json'), JSON.stringify({ hacking: { tolerance: 9 } }));
    await run('inspect', folder);
    expect(process.exitCode).toBeUndefined();
    await run('inspect', folder, '--tolerance', '1');
    expect(process.exitCode).toBe(1);
    process.exitCode = undefined;
    await writeFile(file, '{"epoch":"1","images.nearBlack":0.1}\n');
    await run('inspect', folder);
    expect(process.exitCode).toBe(2);
    expect(printed.at(-1)).toMatch(/metrics\.jsonl holds a line that is not a record of a run/);
    process.exitCode = undefined;
    await run('inspect', join(folder, 'none'));
    expect(process.exitCode).toBe(2);
    expect(printed.at(-1)).toMatch(/none does not exist; give the folder of a run/);
  });

  it('prints a JSON Schema', async () => {
    await run('schema');
    const schema = JSON.parse(printed.at(-1)!);
    expect(schema.properties.grpo.properties.clipRange.description).toContain('train.clip_range');
    expect(schema.additionalProperties).toBe(false);
  });
});
