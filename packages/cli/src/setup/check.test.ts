import '@flow-grpo/tfjs-backend-xla';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { resolveConfig } from '@flow-grpo/grpo-trainer';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { estimateMemory, memoryOf } from '../run/memory-estimate';
import { type Showo2SetupInput, showo2SetupSchema } from '../run-file/setup-schema';
import { checkModel } from './check';
import { openPromptSets } from './prompts';
import { showo2Setup } from './showo2';
import { showo2Sizes } from './showo2-sizes';
import { writeTinyShowo2 } from './testing/tiny-showo2';

let folder: string;
let model: string;
let dataset: string;
let hub: Server;
const asked: string[] = [];
const COMMIT = 'b'.repeat(40);
const PROMPTS = 'a prompt\nanother prompt\n';

/** A hub with one data set, and a reward server that knows no HEAD. */
function answer(url: string): [status: number, body: string, headers?: Record<string, string>] {
  if (url === '/score') return [405, ''];
  if (url === '/api/models/org/wan/revision/main') {
    const siblings = ['Wan2.1_VAE.pth', 'diffusion_pytorch_model.safetensors'].map((rfilename) => ({
      rfilename,
    }));
    return [200, JSON.stringify({ sha: COMMIT, siblings })];
  }
  if (url.startsWith(`/org/wan/resolve/${COMMIT}/`)) return [200, 'x'.repeat(5000), { etag: '"def"' }];
  if (url === '/api/datasets/org/prompts/revision/main') {
    const siblings = ['train.txt', 'README.md'].map((rfilename) => ({ rfilename }));
    return [200, JSON.stringify({ sha: COMMIT, siblings })];
  }
  if (url === `/datasets/org/prompts/resolve/${COMMIT}/train.txt`) return [200, PROMPTS, { etag: '"abc"' }];
  return [404, ''];
}
const address = () => `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;

beforeAll(async () => {
  await tf.setBackend('xla');
  folder = await mkdtemp(join(tmpdir(), 'check-'));
  ({ model, dataset } = await writeTinyShowo2(folder));
  hub = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const [status, body, headers = {}] = answer(request.url ?? '');
    response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
    response.end(request.method === 'HEAD' ? undefined : body);
  });
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  process.env.HF_ENDPOINT = address();
  process.env.HF_HUB_CACHE = join(folder, 'cache');
});
afterAll(async () => {
  delete process.env.HF_ENDPOINT;
  delete process.env.HF_HUB_CACHE;
  await new Promise((resolve) => hub.close(resolve));
  await rm(folder, { recursive: true });
});

const options = (change: Partial<Showo2SetupInput> = {}) =>
  parseConfig(showo2SetupSchema, {
    kind: 'showo2',
    model,
    dataset,
    dtype: 'float32',
    reward: { jpeg_compressibility: 1 },
    ...change,
  });

/** The lines of the error. */
const problems = async (change: Partial<Showo2SetupInput>) =>
  checkModel(options(change)).then(
    () => [],
    ({ message }: Error) => message.split('\n'),
  );

describe('checkModel', () => {
  it('says where everything is', async () => {
    const url = `${address()}/score`;
    const found = await checkModel(options({ reward: { ocr: 1, geneval: { url } } }));
    expect(found.map(({ option }) => option)).toEqual([
      'setup.model',
      'setup.tokenizer',
      'setup.vae',
      'setup.dataset',
      'setup.reward.ocr',
      'setup.reward.geneval.url',
    ]);
    expect(found[0]).toMatchObject({ place: model, state: expect.stringMatching(/^folder, .* kB$/) });
    expect(found.at(-1)!.state).toBe('answers (405)');
    expect(found.every(({ download }) => download === 0)).toBe(true);
  });

  it('names all that is missing at once, and where to get it', async () => {
    const lines = await problems({
      model: './no-model',
      vae: './Wan2.1_VAE.pth',
      tokenizer: 'none/at-all',
      dataset: './none/at all',
      reward: { pickscore: { model: './no-pickscore' }, aesthetic: { model, head: 'no-head.pth' } },
    });
    const about = (option: string) => lines.find((line) => line.startsWith(`setup.${option}: `));
    expect(lines).toHaveLength(6);
    expect(about('model')).toMatch(/no-model does not exist.*hub as showlab\/show-o2-1\.5B/);
    expect(about('vae')).toMatch(/VAE\.pth does not exist.*hub as Wan-AI\/Wan2\.1-T2V-1\.3B/);
    expect(about('tokenizer')).toMatch(/the hub answered 404.*Qwen\/Qwen2\.5-1\.5B-Instruct/);
    expect(about('dataset')).toMatch(/does not exist.*yifan123\/flow_grpo/);
    expect(about('reward.pickscore.model')).toMatch(/yuvalkirstain\/PickScore_v1/);
    expect(about('reward.aesthetic.head')).toMatch(/no-head\.pth does not exist.*sac\+logos/);
  });

  it('looks into folders for what the run reads', async () => {
    const bare = join(folder, 'bare');
    await mkdir(bare);
    await copyFile(join(model, 'model.safetensors'), join(bare, 'model.safetensors'));
    const lines = await problems({ model: bare, dataset: bare });
    expect(lines.map((line) => line.replace(/\. .*/, ''))).toEqual([
      `setup.model: ${bare} has no config.json`,
      `setup.tokenizer: ${bare} has no tokenizer.json with tokenizer_config.json, or vocabulary.json`,
      `setup.vae: ${bare} has no Wan2.1_VAE.pth or vae/`,
      `setup.dataset: ${bare} has no train.txt or train_metadata.jsonl`,
    ]);
  });

  it("takes nothing but the VAE of Wan's repository, and its file in a folder with more", async () => {
    const found = await checkModel(options({ vae: 'org/wan' }));
    expect(found[2]).toMatchObject({ option: 'setup.vae', download: 5000 });
    const wan = join(folder, 'wan');
    await mkdir(wan);
    await writeFile(join(wan, 'Wan2.1_VAE.pth'), 'four');
    await writeFile(join(wan, 'diffusion_pytorch_model.safetensors'), 'x'.repeat(5000));
    expect((await checkModel(options({ vae: wan })))[2]!.state).toBe('folder, 4 B');
  });

  it('finds a server that is down, before anything is loaded', async () => {
    const url = 'http://127.0.0.1:1';
    const [line] = await problems({ reward: { geneval: { url } } });
    expect(line).toMatch(/setup.reward.geneval.url: http:\/\/127.0.0.1:1 does not respond \(.*reward-server/);
  });

  it('finds prompts on the hub without downloading them, and a run downloads them', async () => {
    asked.length = 0;
    const found = await checkModel(options({ dataset: 'org/prompts' }));
    expect(found.find(({ option }) => option === 'setup.dataset')).toMatchObject({
      state: 'hub, 24 B to download, 0 B in the cache',
      download: PROMPTS.length,
    });
    expect(asked).toEqual([
      'GET /api/datasets/org/prompts/revision/main',
      `HEAD /datasets/org/prompts/resolve/${COMMIT}/train.txt`,
    ]);
    const { prompts, evalPrompts } = await openPromptSets(options({ dataset: 'org/prompts' }));
    expect(prompts.at(1)!.prompt).toBe('another prompt');
    expect(evalPrompts).toBeUndefined();
    expect((await checkModel(options({ dataset: 'org/prompts' })))[3]!.download).toBe(0);
  });
});

describe('showo2Sizes', () => {
  it.each([
    ['the head', {}],
    ['the head with guidance, in bfloat16', { guidanceScale: 4.5, dtype: 'bfloat16' as const }],
    ['the head with guidance in rollouts alone', { guidanceScale: 4.5, guidanceInTraining: false }],
    ['everything', { train: ['all'] }],
    ['adapters of the head, and a reference', { train: { lora: { rank: 3 } } }],
    ['adapters of the trunk', { train: { lora: { targets: ['showo.model.layers*q_proj'] } } }],
  ])('gives the memory that the loaded policy has: %s', async (_, change) => {
    const config = resolveConfig({
      sampling: { numSteps: 6, promptsPerEpoch: 2, samplesPerPrompt: 4 },
      grpo: { beta: 0.1 },
    });
    const before = memoryOf(await showo2Sizes(options(change)), config);
    const { policy, prompts } = await showo2Setup(options(change));
    const after = estimateMemory(policy!, prompts!.at(0)!.prompt, config);
    tf.dispose(policy!.params);
    expect(before).toEqual(after);
    expect(before.trainedParameters).toBeGreaterThan(0);
  });

  it('names a pattern that fits nothing, and a configuration that is none', async () => {
    await expect(showo2Sizes(options({ train: ['difusion'] }))).rejects.toThrow(/setup.train: .*difusion/);
    const file = join(folder, 'broken.json');
    await writeFile(file, '{}');
    await expect(showo2Sizes(options({ config: file }))).rejects.toThrow(/setup.model: .*broken.json/);
  });
});
