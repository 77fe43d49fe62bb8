/** Stand-ins for what a run downloads: a Z-Image of a few thousand random weights, in the layout of the hub. */
import { join } from 'node:path';
import { saveSafetensors } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import {
  type AutoencoderConfig,
  autoencoderConfigJson,
  autoencoderSpecs,
  schedulerConfigJson,
  type TextEncoderConfig,
  type TransformerConfig,
  textEncoderConfigJson,
  textEncoderSpecs,
  transformerConfigJson,
  transformerSpecs,
  Z_IMAGE_AUTOENCODER,
  Z_IMAGE_SCHEDULER,
  Z_IMAGE_TRANSFORMER,
} from '@flow-grpo/z-image-model';
import type { RunFile } from 'flow-grpo';
import { BYTE_TOKENS, writeByteTokenizer } from './byte-tokenizer';
import { writeJson } from './write-json';

const transformer: TransformerConfig = {
  ...Z_IMAGE_TRANSFORMER,
  dim: 32,
  heads: 2,
  layers: 2,
  refinerLayers: 1,
  captionDim: 24,
  axesDims: [4, 6, 6],
};
const textEncoder: TextEncoderConfig = {
  hiddenSize: transformer.captionDim,
  intermediateSize: 32,
  layers: 3,
  heads: 2,
  kvHeads: 1,
  headDim: 12,
  vocabSize: BYTE_TOKENS,
  ropeTheta: 10_000,
  rmsNormEps: 1e-6,
  attentionBias: false,
};
const vae: AutoencoderConfig = {
  ...Z_IMAGE_AUTOENCODER,
  channels: [8, 8, 8, 8],
  layersPerBlock: 1,
  groups: 4,
};

/**
 * Writes the stand-ins to `folder` and returns what to override in a run's file, so that it uses them and takes a minute
 * instead of days. Algorithm, steps, adapters and loss are the file's.
 *
 * @param prompts folder with train.txt and test.txt
 * @throws {ConfigError} when the run is not one of Z-Image.
 */
export async function tinyOverrides(run: RunFile, folder: string, prompts: string): Promise<string[]> {
  if (run.setup.kind !== 'z-image')
    throw new ConfigError(`--tiny stands in for Z-Image, not for a ${run.setup.kind}`);
  const model = join(folder, 'z-image');
  await writeZImage(model);
  const setup = {
    model,
    size: [32, 32],
    dtype: 'float32',
    dataset: prompts,
    reward: { jpeg_compressibility: 1 },
  };
  return [
    ...Object.entries(setup).map(([key, value]) => `setup.${key}=${JSON.stringify(value)}`),
    'epochs=2',
    'evalEvery=2',
    'saveEvery=1',
    'sampling.promptsPerEpoch=2',
    'sampling.samplesPerPrompt=4',
  ];
}

/** A folder as `Tongyi-MAI/Z-Image-Turbo` in the hub's layout. */
async function writeZImage(folder: string): Promise<void> {
  const part = async (name: string, file: string, config: object, specs: Specs) => {
    await writeJson(join(folder, name), 'config.json', config);
    await saveSafetensors(join(folder, name, file), randomWeights(specs));
  };
  const file = 'diffusion_pytorch_model.safetensors';
  await part('transformer', file, transformerConfigJson(transformer), transformerSpecs(transformer));
  await part(
    'text_encoder',
    'model.safetensors',
    textEncoderConfigJson(textEncoder),
    textEncoderSpecs(textEncoder),
  );
  await part('vae', file, autoencoderConfigJson(vae), autoencoderSpecs(vae));
  await writeJson(join(folder, 'scheduler'), 'scheduler_config.json', schedulerConfigJson(Z_IMAGE_SCHEDULER));
  await writeByteTokenizer(join(folder, 'tokenizer'));
}

type Specs = ReturnType<typeof transformerSpecs>;

/** Gains of 1, and everything else uniform within ± 1/√(inputs): the same numbers every time. */
function randomWeights(specs: Specs) {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return Object.fromEntries(
    Object.entries(specs).map(([name, { shape, start }]) => {
      const size = shape.reduce((a, b) => a * b, 1);
      const isGain = 'constant' in start && start.constant === 1;
      const bound = 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1));
      const values = Float32Array.from({ length: size }, () => (isGain ? 1 : bound * uniform()));
      return [name, { dtype: 'float32' as const, shape, bytes: new Uint8Array(values.buffer) }];
    }),
  );
}
