/** Show-o2, its VAE, prompts and rewards, by path or hub id. */

import { ConfigError, loraPolicy, type Policy } from '@flow-grpo/grpo-trainer';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import {
  chooseTextLength,
  cutPromptsMessage,
  decodeImage,
  type Showo2Parts,
  showo2LatentShape,
  upstreamNames,
} from '@flow-grpo/showo2-model';
import { type LoadingProgress, loadShowo2 } from '@flow-grpo/showo2-model/node';
import { type Showo2Policy, showo2Policy } from '@flow-grpo/showo2-model/policy';
import * as tf from '@tensorflow/tfjs-core';
import { bytes } from '../run/start-table';
import { type Showo2SetupInput, type Showo2SetupOptions, setupSchemaOf } from '../run-file/setup-schema';
import { weightsOf } from '../run-file/train-schema';
import { checkModel } from './check';
import { adaptedWeightsOf, type ChosenLora, openLora, withoutTargets } from './lora';
import { openPromptSets } from './prompts';
import { makeEvalRewards, makeRewards } from './rewards';
import type { RunSetup, SetupContext } from './setup';
import { downloadMessages } from './sources';

/**
 * Everything that a run on Show-o2 needs. Before it opens a checkpoint it checks all paths, repositories and servers, and
 * reads the prompts.
 *
 * @throws {ConfigError} that names the option whose file, model or server is missing.
 */
export async function showo2Setup(input: Showo2SetupInput, context: SetupContext = {}): Promise<RunSetup> {
  const options = parseConfig(setupSchemaOf(input), input) as Showo2SetupOptions;
  await checkModel(options, context);
  const sets = await openPromptSets(options, context);
  const lora = await openLora(options.train, context);
  const parts = await loadParts(options, context);
  context.onMessage?.(`Loading rewards: ${Object.keys(options.reward).join(', ')}`);
  const textLength = textLengthOf(parts, options, sets, context);
  return {
    ...sets,
    policy: showo2PolicyOf(parts, options, textLength, lora),
    savedWeights: upstreamNames,
    baseModel: options.model,
    fingerprint: { textLength: `${textLength}` },
    scorer: await makeRewards(options.reward, options.rewardFailure, context),
    ...(options.evalRewards && {
      evalRewards: await makeEvalRewards(options.evalRewards, options.rewardFailure, context),
    }),
  };
}

async function loadParts(options: Showo2SetupOptions, context: SetupContext): Promise<Showo2Parts> {
  const { signal, onMessage } = context;
  let told = 0;
  const onProgress = ({ part, loadedBytes, totalBytes }: LoadingProgress) => {
    const share = loadedBytes / totalBytes;
    if (part !== 'model' || share < told + 0.25) return;
    told = share;
    onMessage?.(`Loading ${options.model}: ${Math.round(100 * share)} % of ${bytes(totalBytes)}`);
  };
  const { model, config, tokenizer, vae, dtype } = options;
  try {
    return await loadShowo2(model, {
      dtype,
      onProgress,
      onDownload: downloadMessages(onMessage),
      ...(config && { config }),
      ...(tokenizer && { tokenizer }),
      ...(vae && { vae }),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`setup.model: ${(error as Error).message}`, { cause: error });
  }
}

/** The one length of the run's prompts, evaluations included. */
function textLengthOf(
  { config, tokenizer }: Showo2Parts,
  { maxPromptTokens = config.maxTextLength }: Showo2SetupOptions,
  { prompts, evalPrompts = [] }: Awaited<ReturnType<typeof openPromptSets>>,
  { onMessage }: SetupContext,
): number {
  const texts = new Set([...prompts, ...evalPrompts].map(({ prompt }) => prompt));
  const counts = Array.from(texts, (prompt) => tokenizer.encode(prompt).length);
  const chosen = chooseTextLength(config, counts, Math.min(maxPromptTokens, config.maxTextLength));
  const message = cutPromptsMessage(chosen);
  if (message !== undefined) onMessage?.(message);
  return chosen.length;
}

type ModelParts = Pick<Showo2Parts, 'params' | 'config' | 'tokenizer' | 'vae'>;
type PolicyChoice = Pick<Showo2SetupOptions, 'guidanceScale' | 'guidanceInTraining' | 'train'>;

/** The layers that get adapters unless it is said. */
export const ADAPTED_LAYERS = ['diffusion_head_a.*_proj'] as const;

/**
 * The policy of a Show-o2. It takes ownership of the model's parameters.
 *
 * @param lora adapters to train in place of the weights themselves
 * @throws {ConfigError} when `train` matches no weight, and when adapters do not fit.
 */
export function showo2PolicyOf(parts: ModelParts, options: PolicyChoice, textLength: number): Showo2Policy;
export function showo2PolicyOf(
  parts: ModelParts,
  options: PolicyChoice,
  textLength: number,
  lora: ChosenLora | undefined,
): Policy;
export function showo2PolicyOf(
  { params, config, tokenizer, vae }: ModelParts,
  options: PolicyChoice,
  textLength: number,
  lora?: ChosenLora,
): Showo2Policy | Policy {
  try {
    const train = lora ? adaptedWeightsOf(params, lora, ADAPTED_LAYERS) : weightsOf(options.train);
    const policy = showo2Policy({
      params,
      config,
      tokenize: (prompt) => tokenizer.encode(prompt),
      decode: (latents) => decodeShowo2Images(vae, latents),
      latentShape: showo2LatentShape(config),
      guidanceScale: options.guidanceScale,
      guidanceInTraining: options.guidanceInTraining,
      stackLayers: true,
      textLength,
      ...(train && { train }),
    });
    return lora ? (loraPolicy(policy, withoutTargets(lora)) as Policy) : policy;
  } catch (error) {
    throw new ConfigError(`setup.train: ${(error as Error).message}`, { cause: error });
  }
}

/** Latents [B, h, w, C] to images [B, H, W, 3] in [0, 1]. */
export function decodeShowo2Images(vae: Showo2Parts['vae'], latents: tf.Tensor): tf.Tensor4D {
  const pixels = decodeImage(vae.params, vae.config, latents as tf.Tensor4D); // in [-1, 1]
  return tf.clipByValue(tf.add(tf.mul(pixels, 0.5), 0.5), 0, 1) as tf.Tensor4D;
}
