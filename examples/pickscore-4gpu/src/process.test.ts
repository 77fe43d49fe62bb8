import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Checkpoint, openCheckpoint } from '@flow-grpo/checkpoint-io';
import { serveScorer } from '@flow-grpo/rewards';
import { bundleSources } from '@flow-grpo/test-support/bundle';
import { comparePrograms } from '@flow-grpo/test-support/programs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
/** As deep as dist/main.js, from where the script finds its files. */
const script = path('../.bundle/main.mjs');
let folder: string;
beforeAll(async () => {
  await bundleSources(path('./main.ts'), script);
  folder = await mkdtemp(join(tmpdir(), 'pickscore-4gpu-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the script in the test's folder, without the hub: what is not on this disk is missing. */
const run = (...args: string[]) => runIn(folder, args);

function runIn(cwd: string, args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const env = { ...process.env, HF_HUB_OFFLINE: '1', HF_HUB_CACHE: join(folder, 'hub'), ...more };
  const child = spawn(process.execPath, [script, ...args], { cwd, env });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

/** Names, shapes and numbers of a checkpoint. */
async function readWeights(path: string, wanted = (_name: string) => true) {
  const checkpoint: Checkpoint = await openCheckpoint(path);
  try {
    const names = checkpoint.names.filter(wanted).sort();
    const read = names.map(async (name) => [name, [...(await checkpoint.readValues(name))]] as const);
    return Object.fromEntries(await Promise.all(read));
  } finally {
    await checkpoint.close();
  }
}

describe('--tiny', () => {
  it('runs the recipe to its end on four devices, and goes on from there', async () => {
    const out = join(folder, 'runs/pickscore-tiny');
    const first = await runIn(folder, ['--tiny'], { FLOW_GRPO_XLA_DUMP: join(folder, 'programs') });
    expect(first.stderr).toContain('finished after 2 epochs, 4 updates');
    expect(first.code).toBe(0);
    expect(first.stderr).toContain('2 per epoch of 8 images, 2 per device, on 4 devices');
    expect(first.stderr).toContain('noise 0.3 on 10 of steps 1 … 10 (fixed), 10 trained');

    const metrics = (await readFile(join(out, 'metrics.jsonl'), 'utf8')).trim().split('\n');
    expect(metrics).toHaveLength(2);
    for (const line of metrics) {
      const { reward, gradNorm, ratioMean = 1, ...rest } = JSON.parse(line);
      expect(Number.isFinite(reward)).toBe(true);
      expect(rest['reward.pickscore']).toBeCloseTo(reward, 6);
      expect(gradNorm).toBeGreaterThan(0);
      expect(ratioMean).toBeCloseTo(1, 3);
    }
    const evaluations = (await readFile(join(out, 'evaluations.jsonl'), 'utf8')).trim().split('\n');
    expect(evaluations.map((line) => JSON.parse(line).epoch)).toEqual([0, 2]);
    expect(await readFile(join(out, 'report.html'), 'utf8')).toContain('report/run-0.js');
    expect(await readFile(join(out, 'report/run-0.js'), 'utf8')).toMatch(/samples\/[\w.-]+\.(png|jpg)/); // pictures beside it
    expect(await readdir(join(out, 'checkpoints'))).toEqual(['epoch-000001', 'epoch-000002']);

    const start = await readWeights(join(out, 'stand-ins/show-o2'), (name) => name.includes('diffusion'));
    const tuned = await readWeights(join(out, 'model.safetensors'));
    expect(Object.keys(tuned)).toEqual(Object.keys(start));
    expect(Object.keys(tuned)).toContain('diffusion_head_a.0.self_attn.q_proj.weight');
    const afterOne = await readWeights(join(out, 'checkpoints/epoch-000001/trained.safetensors'));
    const largest = (name: string, other: Record<string, readonly number[]>) =>
      Math.max(...tuned[name]!.map((value, i) => Math.abs(value - other[name]![i]!)));
    for (const name of Object.keys(tuned)) {
      expect(tuned[name], name).toHaveLength(start[name]!.length);
      // They started as bfloat16, which rounds numbers below 1 by up to 2⁻⁹, and the rate is 5e-6.
      expect(largest(name, start), name).toBeLessThan(2 ** -8);
      expect(largest(name, afterOne), name).toBeGreaterThan(0);
      expect(largest(name, afterOne), name).toBeLessThan(1e-4);
    }

    const second = await run('--tiny', '-s', 'epochs=3', '--ui', '--profile');
    expect(second.stderr).toContain('Resumed after epoch 2 (4 updates)');
    expect(second.stderr).toContain('live page: http://127.0.0.1:');
    expect(second.stderr).toContain('finished after 3 epochs, 6 updates');
    expect(second.code).toBe(0);
    const changed = await run('--tiny', '-s', 'grpo.beta=0.02');
    expect(changed.stderr).toMatch(/another configuration \(grpo\.beta: 0\.01 → 0\.02\)/);
    expect(changed.code).toBe(2);
    for (const file of ['trace.json', 'profile.json']) expect(existsSync(join(out, file)), file).toBe(true);
  });

  // Those for CPUs: on GPUs weights have another storage type.
  it.runIf(process.env.FLOW_GRPO_XLA_PLATFORM === 'cpu')('gives XLA the programs on record', () => {
    const { found, onRecord } = comparePrograms('pickscore-4gpu', join(folder, 'programs'));
    expect(found).toEqual(onRecord);
  });
});

describe('geneval.yaml and ocr.yaml', () => {
  it('train with the rewards of a GenEval server and of the text that is read', async () => {
    const kinds = new Set<unknown>();
    const server = await serveScorer({
      name: 'stand-in',
      async score(images, _prompts, metadata) {
        for (const { tag } of metadata) kinds.add(tag);
        const count = metadata.length;
        expect(images).toHaveLength(count);
        return { scores: metadata.map((_, i) => i / count), details: {} };
      },
    });
    try {
      const both = `setup.reward={ geneval: { url: "${server.url}", onlyStrict: true }, ocr: 1 }`;
      const { code, stderr } = await run(
        'geneval.yaml',
        '--tiny',
        '-o',
        'runs/both',
        '-s',
        both,
        '-s',
        'epochs=1',
      );
      expect(stderr).toContain('Loading rewards: ocr, geneval');
      expect(stderr).toContain('finished after 1 epoch, 2 updates');
      expect(code).toBe(0);
    } finally {
      await server.close();
    }
    expect([...kinds].sort()).toEqual(['colors', 'counting', 'single_object']);
    const [line] = (await readFile(join(folder, 'runs/both/metrics.jsonl'), 'utf8')).split('\n');
    const metrics = JSON.parse(line!);
    expect(metrics['reward.geneval']).toBeGreaterThan(0);
    expect(metrics['reward.ocr']).toBeGreaterThanOrEqual(0);
  });
});

describe('--dry-run', () => {
  it('plans the tiny run', async () => {
    const { code, stdout } = await run('--tiny', '--dry-run', '-o', 'runs/planned');
    expect(code).toBe(0);
    expect(stdout).toContain('2 epochs × 16 images (4 prompts × 4) = 32');
    expect(existsSync(join(folder, 'runs/planned/metrics.jsonl'))).toBe(false);
  });

  it('plans the recipe at full size without reading a weight', async () => {
    const files = {
      'show-o2/config.json':
        '{"hidden_size": 1536, "image_latent_height": 27, "image_latent_width": 27, "num_diffusion_layers": 10}',
      'show-o2/model.safetensors': '',
      'qwen/tokenizer.json': '{}',
      'qwen/tokenizer_config.json': '{}',
      'Wan2.1_VAE.pth': '',
      'prompts/train.txt': 'a prompt\n',
      'pickscore/config.json': '{}',
      'pickscore/model.safetensors': '',
      'pickscore/tokenizer.json': '{}',
    };
    for (const [name, text] of Object.entries(files)) {
      await mkdir(join(folder, name, '..'), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const places = [
      'setup.model=show-o2',
      'setup.tokenizer=qwen',
      'setup.vae=Wan2.1_VAE.pth',
      'setup.dataset=prompts',
      'setup.reward={ pickscore: { model: pickscore } }',
    ].flatMap((setting) => ['-s', setting]);
    const { code, stdout, stderr } = await run('--dry-run', ...places);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('1000 epochs × 256 images (16 prompts × 16) = 256000');
    expect(stdout).toContain('8 per epoch of 32 images, 8 per device, on 4 devices');
    expect(stdout).toContain('12 per rollout; sde noise 0.3 on 10 of steps 1 … 10 (fixed), 10 trained');
    expect(stdout).toContain('2 per epoch, 2000 in all; 32 images per gradient pass');
    expect(stdout).toContain('every 60 epochs; 42 steps without noise');
    expect(stdout).toContain('2.83 B, of which 869 M train');
    expect(stdout).toMatch(/30\.6 GB per device before activations/);
    const everything = ['-s', 'setup.train=[all]', '-s', 'shardParameters=true'];
    const all = await run('--dry-run', ...places, ...everything);
    expect(all.stdout).toContain('2.83 B, of which 2.83 B train');
    expect(all.stdout).toMatch(/22\.9 GB per device before activations/);
  });

  it("takes a recipe's name for the recipe, and a path for a file of your own", async () => {
    const own = join(folder, 'own');
    await mkdir(own);
    await writeFile(join(own, 'pickscore.yaml'), 'output: mine\nepochs: 7\n');
    for (const args of [[], ['pickscore.yaml']]) {
      const { stdout, stderr } = await runIn(own, [...args, '--dry-run']);
      expect(stdout).toContain('1000 epochs × 256 images');
      expect(stderr).toContain('for the file in this folder give ./pickscore.yaml');
    }
    const { stdout, stderr } = await runIn(own, ['./pickscore.yaml', '--dry-run']);
    expect(stdout).toContain('7 epochs × 128 images');
    expect(stderr).not.toContain('for the file in this folder');
  });

  it('plans what it can, and says of all that is missing where to get it', async () => {
    const { code, stdout, stderr } = await run('--dry-run');
    expect(code).toBe(2);
    expect(stdout).toContain('1000 epochs × 256 images (16 prompts × 16) = 256000');
    for (const [option, source] of [
      ['model', 'showlab/show-o2-1.5B'],
      ['tokenizer', 'Qwen/Qwen2.5-1.5B-Instruct'],
      ['vae', 'Wan-AI/Wan2.1-T2V-1.3B'],
      ['dataset', 'https://github.com/yifan123/flow_grpo'],
      ['reward.pickscore.model', 'https://huggingface.co/yuvalkirstain/PickScore_v1'],
      ['reward.pickscore.processor', 'https://huggingface.co/laion/CLIP-ViT-H-14-laion2B-s32B-b79K'],
    ] as const) {
      const line = stderr.split('\n').find((text) => text.startsWith(`setup.${option}: `));
      expect(line, option).toContain(source);
    }
  });
});

describe('a run', () => {
  it('ends before anything is loaded when something is missing', async () => {
    const dataset = ['-s', 'setup.dataset=nowhere.txt'];
    const { code, stderr } = await run('--tiny', '-o', 'runs/missing', ...dataset);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^setup\.dataset: nowhere\.txt does not exist/);
    expect(stderr).not.toContain('Loading');
    expect(existsSync(join(folder, 'runs/missing/metrics.jsonl'))).toBe(false);
  });

  it('needs a GPU, or --tiny', async () => {
    const { code, stderr } = await run('-s', 'devices=1', '-s', 'setup.model=/no/model');
    expect(code).toBe(2);
    expect(stderr).toMatch(existsSync('/dev/nvidia0') ? /setup\.model/ : /No GPU was found.*--tiny/);
  });

  it.each([
    [
      ['geneval.yaml', '--tiny', '-s', 'setup.reward.geneval.url=http://127.0.0.1:1'],
      /geneval\.url: .* does not respond.*reward-server/,
    ],
    [['-s', 'training.learning_rate=1'], /did you mean training\.learningRate/],
    [['-s', 'sampling.batchSize=30'], /sampling\.batchSize \(30\)/],
    [['no-such.yaml'], /no-such\.yaml cannot be read/],
  ])('refuses %j in words', async (args, message) => {
    const { code, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
  });
});
