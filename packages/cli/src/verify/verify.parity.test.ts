import '@flow-grpo/tfjs-backend-xla';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { makeReward } from '@flow-grpo/rewards/registry';
import { parseShowo2Config, parseVaeConfig, type Showo2Parts } from '@flow-grpo/showo2-model';
import { type FixtureTensor, fixtureCases, numbers, readJson, readTensors } from '@flow-grpo/test-support';
import * as tf from '@tensorflow/tfjs-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readReference } from './reference';
import { compareReward, REWARD_TENSORS } from './reward';
import { compareShowo2, SHOWO2_TENSORS } from './showo2';

let folder: string;
beforeAll(async () => {
  await tf.setBackend('xla');
  folder = await mkdtemp(join(tmpdir(), 'verify-'));
});
afterAll(() => rm(folder, { recursive: true }));

const tensorOf = (t: FixtureTensor) =>
  tf.tensor(numbers(t), t.shape, t.dtype === 'I64' ? 'int32' : 'float32');
const firstRows = (t: FixtureTensor, count: number) => {
  const whole = tensorOf(t);
  return tf.slice(
    whole,
    whole.shape.map(() => 0),
    [count, ...whole.shape.slice(1)],
  );
};
const paramsOf = (dir: string) =>
  Object.fromEntries(
    Object.entries(readTensors(dir, 'model.safetensors')).map(([name, t]) => [name, tensorOf(t)]),
  );

/** A reference file as reference/showo2.py writes it, of upstream's numbers in the fixtures, and the model they are of. */
async function showo2Case(dir: string, vaeDir: string) {
  const json = readJson<{ config: Record<string, unknown> }>(dir, 'case.json');
  const vaeJson = readJson<{ config: unknown }>(vaeDir, 'case.json');
  const inputs = readTensors(dir, 'inputs.safetensors');
  const outputs = readTensors(dir, 'outputs.safetensors');
  const [vaeInputs, vaeOutputs] = [
    readTensors(vaeDir, 'inputs.safetensors'),
    readTensors(vaeDir, 'outputs.safetensors'),
  ];
  const count = outputs.v_cond!.shape[0]!;
  const rows = (await firstRows(inputs.text_tokens!, count).array()) as number[][];
  const starts = (await firstRows(inputs.modality_positions!, count).array()) as number[][][];
  const ids = rows.map((row, i) => row.slice(1, starts[i]![0]![0]! - 1));
  const prompts = ids.map((_, i) => `prompt ${i}`);
  const squeezed = (t: FixtureTensor) => tf.squeeze(tensorOf(t), [2]);
  const tensors = {
    text_tokens: firstRows(inputs.text_tokens!, count),
    modality_positions: firstRows(inputs.modality_positions!, count),
    latents: firstRows(inputs.latents!, count),
    t: firstRows(inputs.t!, count),
    velocity: tensorOf(outputs.v_cond!),
    vae_latents: squeezed(vaeInputs.image_z!),
    image: squeezed(vaeOutputs.image_decoded!),
  };
  const config = { ...parseShowo2Config(json.config, dir), maxTextLength: 1000 };
  const parts: Showo2Parts = {
    config,
    params: paramsOf(dir),
    tokenizer: {
      encode: (prompt) => ids[prompts.indexOf(prompt)] ?? [],
      decode: () => '',
      vocabSize: config.vocabSize,
      tokens: config.tokens,
    },
    vae: { config: parseVaeConfig(vaeJson.config, vaeDir), params: paramsOf(vaeDir) },
  };
  const write = async (
    name: string,
    change: Partial<typeof tensors> = {},
    said: readonly string[] = prompts,
  ) => {
    const file = join(folder, name);
    await saveSafetensors(file, { ...tensors, ...change }, { metadata: { prompts: JSON.stringify(said) } });
    return readReference(file, SHOWO2_TENSORS, 'showo2.py');
  };
  return { parts, prompts, tensors, write };
}

describe.each(fixtureCases('showo2-tiny'))('verify beside upstream, $name', ({ dir }) => {
  const vaeDir = fixtureCases('wanvae-')[0]!.dir;

  it('agrees with the tokens, velocity and decoded image of its code', async () => {
    const { parts, write } = await showo2Case(dir, vaeDir);
    const checks = await compareShowo2(parts, await write('right.safetensors'), 'float32');
    expect(checks.map(({ what }) => what)).toEqual(['tokens', 'velocity', 'decoded image']);
    expect(checks.filter(({ agrees }) => !agrees)).toEqual([]);
  });

  it('finds the stage that is wrong, and that one alone', async () => {
    const { parts, prompts, tensors, write } = await showo2Case(dir, vaeDir);
    const wrong = async (change: Partial<typeof tensors>, with_ = parts, said = prompts) => {
      const checks = await compareShowo2(with_, await write('wrong.safetensors', change, said), 'float32');
      return checks.filter(({ agrees }) => !agrees).map(({ what, detail }) => `${what}: ${detail}`);
    };
    expect(await wrong({ velocity: tf.mul(tensors.velocity, 1.01) })).toEqual([
      expect.stringMatching(
        /^velocity: differs by 0\.0\d+ of the largest value, allowed 0\.001; check the sizes/,
      ),
    ]);
    expect(await wrong({ image: tf.add(tensors.image, 0.01) })).toEqual([
      expect.stringMatching(/^decoded image: differs by .*; check setup\.vae/),
    ]);
    expect(await wrong({ image: tf.slice(tensors.image, 0, 1) })).toEqual([
      expect.stringMatching(/^decoded image: shape \[.*\], and the reference has/),
    ]);
    const tokenizer = {
      ...parts.tokenizer,
      encode: (prompt: string) => parts.tokenizer.encode(prompt).map((id) => id + 1),
    };
    expect(await wrong({}, { ...parts, tokenizer })).toEqual([
      expect.stringMatching(/^tokens: token 0 of "prompt 0" is/),
    ]);
    const tokens = { ...parts.config.tokens, boi: parts.config.tokens.boi + 1 };
    expect(await wrong({}, { ...parts, config: { ...parts.config, tokens } })).toEqual([
      expect.stringMatching(/^tokens: \[bos\] and \[boi\] are/),
    ]);
    const scale = parts.params['showo.model.norm.weight']!;
    const params = { ...parts.params, 'showo.model.norm.weight': tf.mul(scale, 1.1) };
    expect(await wrong({}, { ...parts, params })).toEqual([expect.stringMatching(/^velocity: /)]);
  });

  it('says what a file lacks', async () => {
    const { tensors, prompts } = await showo2Case(dir, vaeDir);
    const file = join(folder, 'lacking.safetensors');
    const { image: _, ...rest } = tensors;
    await saveSafetensors(file, rest, { metadata: { prompts: JSON.stringify(prompts) } });
    await expect(readReference(file, SHOWO2_TENSORS, 'showo2.py')).rejects.toThrow(
      /lacking\.safetensors: has no image; reference\/showo2\.py of the package flow-grpo writes/,
    );
    await saveSafetensors(file, tensors);
    await expect(readReference(file, SHOWO2_TENSORS, 'showo2.py')).rejects.toThrow(
      /its metadata holds no prompts/,
    );
    await expect(readReference(join(folder, 'none'), SHOWO2_TENSORS, 'showo2.py')).rejects.toThrow(
      /--reference .*none/,
    );
  });
});

describe.each(fixtureCases('rewards-jpeg'))('verify of a reward, $name', ({ dir }) => {
  interface Row {
    image: string;
    compressibility: number;
  }

  it('agrees with the scores of flow_grpo, and says which image does not', async () => {
    const { rows } = readJson<{ rows: Row[] }>(dir, 'jpeg.json');
    const read = rows.map(async ({ image, compressibility }) => {
      const { data, info } = await sharp(readFileSync(join(dir, 'images', `${image}.png`)))
        .removeAlpha()
        .toColourspace('srgb')
        .raw()
        .toBuffer({ resolveWithObject: true });
      return { data, info, compressibility };
    });
    const all = await Promise.all(read);
    const size = `${all.at(-1)!.info.width}x${all.at(-1)!.info.height}`;
    const alike = all.filter(({ info }) => `${info.width}x${info.height}` === size && info.channels === 3);
    const { width, height } = alike[0]!.info;
    const values = alike.flatMap(({ data }) => [...data]);
    const file = join(folder, 'scores.safetensors');
    const write = (scores: number[]) =>
      saveSafetensors(
        file,
        { images: tf.tensor(values, [alike.length, height, width, 3], 'int32'), scores: tf.tensor1d(scores) },
        { metadata: { prompts: JSON.stringify(alike.map(() => '')) } },
      );
    const scores = alike.map(({ compressibility }) => compressibility);
    const reward = await makeReward('jpeg_compressibility');
    const compare = async () =>
      compareReward(
        'jpeg_compressibility',
        reward as never,
        await readReference(file, REWARD_TENSORS, 'reward.py'),
        'float32',
      );
    await write(scores);
    expect(await compare()).toMatchObject({ agrees: true, what: 'reward jpeg_compressibility' });
    await write(scores.map((score, i) => (i === 0 ? 1.1 * score : score)));
    expect(await compare()).toMatchObject({ agrees: false, detail: expect.stringMatching(/image 0 has/) });
  });
});
