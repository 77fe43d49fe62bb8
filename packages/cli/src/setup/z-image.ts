/** Z-Image, prompts and rewards, by path or hub id. */
import { saveLora } from '@flow-grpo/checkpoint-io';
import { ConfigError, loraPolicy, type Policy } from '@flow-grpo/grpo-trainer';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import { toUnitRange, unstackLayers } from '@flow-grpo/nn';
import {
  decodeLatents,
  paddedLength,
  promptEncoder,
  promptLength,
  spatialFactor,
  type TextStates,
  type ZImageParts,
} from '@flow-grpo/z-image-model';
import { type LoadingProgress, loadZImage, loadZImageTextEncoder } from '@flow-grpo/z-image-model/node';
import { LORA_TARGETS, zImagePolicy } from '@flow-grpo/z-image-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { bytes } from '../run/start-table';
import { setupSchemaOf, type ZImageSetupInput, type ZImageSetupOptions } from '../run-file/setup-schema';
import { weightsOf } from '../run-file/train-schema';
import { checkModel } from './check';
import { adaptedWeightsOf, type ChosenLora, openLora, withoutTargets } from './lora';
import { openPromptEmbeddings, writePromptEmbeddings } from './prompt-embeddings';
import { openPromptSets } from './prompts';
import { makeEvalRewards, makeRewards } from './rewards';
import type { RunSetup, SetupContext } from './setup';
import { downloadMessages } from './sources';

/**
 * Everything that a run on Z-Image needs. Before it opens a checkpoint it checks all paths, repositories and servers, and
 * reads the prompts.
 *
 * @throws {ConfigError} that names the option whose file, model or server is missing.
 */
export async function zImageSetup(input: ZImageSetupInput, context: SetupContext = {}): Promise<RunSetup> {
  const options = parseConfig(setupSchemaOf(input), input) as ZImageSetupOptions;
  await checkModel(options, context);
  const sets = await openPromptSets(options, context);
  const lora = await openLora(options.train, context);
  const parts = await loadParts(options, context);
  context.onMessage?.(`Loading rewards: ${Object.keys(options.reward).join(', ')}`);
  const prompts = [...sets.prompts, ...(sets.evalPrompts ?? [])].map(({ prompt }) => prompt);
  const text = await textOf(parts, options, ['', ...new Set(prompts)], context);
  return {
    ...sets,
    policy: zImagePolicyOf(parts, options, text.encode, lora),
    savedWeights: (weights) => unstackLayers(weights),
    saveAdapter: (folder, adapters) => saveLora(folder, adapters, { layout: 'diffusers' }),
    fingerprint: { textLength: `${text.length}` },
    scorer: await makeRewards(options.reward, options.rewardFailure, context),
    ...(options.evalRewards && {
      evalRewards: await makeEvalRewards(options.evalRewards, options.rewardFailure, context),
    }),
  };
}

/** What turns the prompts of a run into states of one length: those of the file, else the text encoder. */
async function textOf(
  { textEncoder, transformer }: ZImageParts,
  { promptEmbeddings: source, maxPromptTokens: maxTokens }: ZImageSetupOptions,
  prompts: readonly string[],
  context: SetupContext,
): Promise<{ length: number; encode: (prompts: readonly string[]) => TextStates }> {
  if (source === undefined) {
    const length = promptLength(textEncoder!, prompts, maxTokens);
    const encode = promptEncoder(textEncoder!);
    return { length, encode: (some) => encode(some, { maxTokens, length }) };
  }
  const width = transformer.config.captionDim;
  const states = await openPromptEmbeddings(source, { maxTokens, width }, context);
  const length = paddedLength(states.longest(prompts));
  return { length, encode: (some) => states.encode(some, length) };
}

/** Prompts that are encoded at once ahead of a run. */
const EMBEDDED_AT_ONCE = 16;

/**
 * Writes the states of all prompts of a run, and of the empty one, as `setup.promptEmbeddings` takes them. The text encoder alone
 * is loaded.
 *
 * @returns how many prompts
 * @throws {ConfigError} when the model or the prompts are not there
 */
export async function writeZImageEmbeddings(
  file: string,
  options: ZImageSetupOptions,
  { onProgress, ...context }: SetupContext & { readonly onProgress?: (done: number, total: number) => void },
): Promise<number> {
  const sets = await openPromptSets(options, context);
  const { dtype, model, maxPromptTokens: maxTokens } = options;
  const textEncoder = await orModelError(
    loadZImageTextEncoder(model, { dtype, onDownload: downloadMessages(context.onMessage) }),
    context,
  );
  const texts = [...sets.prompts, ...(sets.evalPrompts ?? [])].map(({ prompt }) => prompt);
  const prompts = [...new Set(['', ...texts])];
  const encode = promptEncoder(textEncoder);
  const length = promptLength(textEncoder, prompts, maxTokens); // one, so that one program serves all batches
  try {
    await writePromptEmbeddings(file, prompts, (some) => encode(some, { maxTokens, length }), {
      ...{ maxTokens, batchSize: EMBEDDED_AT_ONCE },
      ...(onProgress && { onProgress }),
    });
  } finally {
    tf.dispose(textEncoder.params);
  }
  return prompts.length;
}

async function orModelError<T>(loading: Promise<T>, { signal }: SetupContext): Promise<T> {
  try {
    return await loading;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`setup.model: ${(error as Error).message}`, { cause: error });
  }
}

async function loadParts(options: ZImageSetupOptions, context: SetupContext): Promise<ZImageParts> {
  const { signal, onMessage } = context;
  const { model, transformer, dtype } = options;
  let told = '';
  const onProgress = ({ part, loadedBytes, totalBytes }: LoadingProgress) => {
    const quarters = Math.floor((4 * loadedBytes) / totalBytes);
    const now = `${part} ${quarters}`;
    if (part === 'vae' || quarters === 0 || now === told) return;
    told = now;
    onMessage?.(`Loading ${model}: ${25 * quarters} % of ${bytes(totalBytes)} of ${part}`);
  };
  const loading = loadZImage(model, {
    dtype,
    stacked: false, // the policy stacks what it trains on
    textEncoder: options.promptEmbeddings === undefined,
    onProgress,
    onDownload: downloadMessages(onMessage),
    ...(transformer && { transformer }),
    ...(signal && { signal }),
  });
  return orModelError(loading, context);
}

/**
 * The policy of a Z-Image. It takes ownership of the transformer's parameters.
 *
 * @param encodePrompts states of prompts, of one length whatever the prompts
 * @param lora adapters to train in place of the weights themselves
 * @throws {ConfigError} when `train` matches no weight, and when adapters do not fit.
 */
export function zImagePolicyOf(
  { transformer, vae }: Pick<ZImageParts, 'transformer' | 'vae'>,
  options: Pick<
    ZImageSetupOptions,
    'size' | 'guidanceScale' | 'cfgNormalization' | 'cfgTruncation' | 'guidanceInTraining' | 'train'
  >,
  encodePrompts: (prompts: readonly string[]) => TextStates,
  lora?: ChosenLora,
): Policy {
  const { size } = options;
  const [height, width] = size.map((side) => side / spatialFactor(vae.config)) as [number, number];
  try {
    const train = lora ? adaptedWeightsOf(transformer.params, lora, LORA_TARGETS) : weightsOf(options.train);
    const policy = zImagePolicy({
      ...transformer,
      encodePrompts,
      decode: (latents) =>
        toUnitRange(decodeLatents(vae.params, vae.config, latents as tf.Tensor4D)) as tf.Tensor4D,
      latentShape: [height, width, transformer.config.inChannels],
      guidanceScale: options.guidanceScale,
      cfgNormalization: options.cfgNormalization,
      cfgTruncation: options.cfgTruncation,
      guidanceInTraining: options.guidanceInTraining,
      ...(train && { train }),
    });
    return (lora ? loraPolicy(policy, withoutTargets(lora)) : policy) as Policy;
  } catch (error) {
    throw new ConfigError(`setup.train: ${(error as Error).message}`, { cause: error });
  }
}
