/** Z-Image, prompts and rewards, by path or hub id. */
import { saveLora } from '@flow-grpo/checkpoint-io';
import { ConfigError, loraPolicy, type Policy } from '@flow-grpo/grpo-trainer';
import { parseConfig } from '@flow-grpo/grpo-trainer/config';
import { toUnit, unstackLayers } from '@flow-grpo/nn';
import {
  decodeLatents,
  promptEncoder,
  promptLength,
  spatialFactor,
  type ZImageParts,
} from '@flow-grpo/z-image-model';
import { type LoadingProgress, loadZImage } from '@flow-grpo/z-image-model/node';
import { LORA_TARGETS, zImagePolicy } from '@flow-grpo/z-image-model/policy';
import type * as tf from '@tensorflow/tfjs-core';
import { bytes } from '../run/start-table';
import { setupSchemaOf, type ZImageSetupInput, type ZImageSetupOptions } from '../run-file/setup-schema';
import { weightsOf } from '../run-file/train-schema';
import { checkModel } from './check';
import { adaptedWeightsOf, type ChosenLora, openLora, withoutTargets } from './lora';
import { openPromptSets } from './prompts';
import { makeEvalRewards, makeRewards } from './rewards';
import type { RunSetup, SetupContext } from './setup';
import { downloadMessages } from './sources';

/**
 * Everything a run on Z-Image needs. All paths, repositories and servers are looked for, and prompts read, before a
 * checkpoint is opened.
 *
 * @throws {ConfigError} naming the option whose file, model or server is missing.
 */
export async function zImageSetup(input: ZImageSetupInput, context: SetupContext = {}): Promise<RunSetup> {
  const options = parseConfig(setupSchemaOf(input), input) as ZImageSetupOptions;
  await checkModel(options, context);
  const sets = await openPromptSets(options, context);
  const lora = await openLora(options.train, context);
  const parts = await loadParts(options, context);
  context.onMessage?.(`Loading rewards: ${Object.keys(options.reward).join(', ')}`);
  const prompts = [...sets.prompts, ...(sets.evalPrompts ?? [])].map(({ prompt }) => prompt);
  const textLength = promptLength(parts.textEncoder!, ['', ...new Set(prompts)], options.maxPromptTokens);
  return {
    ...sets,
    policy: zImagePolicyOf(parts, options, textLength, lora),
    savedWeights: (weights) => unstackLayers(weights),
    saveAdapter: (folder, adapters) => saveLora(folder, adapters, { layout: 'diffusers' }),
    fingerprint: { textLength: `${textLength}` },
    scorer: await makeRewards(options.reward, options.rewardFailure, context),
    ...(options.evalRewards && {
      evalRewards: await makeEvalRewards(options.evalRewards, options.rewardFailure, context),
    }),
  };
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
  try {
    return await loadZImage(model, {
      dtype,
      stacked: false, // the policy stacks what it trains on
      onProgress,
      onDownload: downloadMessages(onMessage),
      ...(transformer && { transformer }),
      ...(signal && { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConfigError(`setup.model: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * The policy of a Z-Image's parts, whose transformer's parameters it uses up.
 *
 * @param textLength rows of the states of prompts: `promptLength` of all of a run's
 * @param lora adapters that train in place of the weights themselves
 * @throws {ConfigError} when no weight has a name that `train` asks for, and when adapters do not fit.
 */
export function zImagePolicyOf(
  { transformer, textEncoder, vae }: ZImageParts,
  options: Pick<
    ZImageSetupOptions,
    | 'size'
    | 'guidanceScale'
    | 'cfgNormalization'
    | 'cfgTruncation'
    | 'guidanceInTraining'
    | 'maxPromptTokens'
    | 'train'
  >,
  textLength: number,
  lora?: ChosenLora,
): Policy {
  const { size, maxPromptTokens: maxTokens } = options;
  const [height, width] = size.map((side) => side / spatialFactor(vae.config)) as [number, number];
  const encode = promptEncoder(textEncoder!);
  try {
    const train = lora ? adaptedWeightsOf(transformer.params, lora, LORA_TARGETS) : weightsOf(options.train);
    const policy = zImagePolicy({
      ...transformer,
      encodePrompts: (prompts) => encode(prompts, { maxTokens, length: textLength }),
      decode: (latents) =>
        toUnit(decodeLatents(vae.params, vae.config, latents as tf.Tensor4D)) as tf.Tensor4D,
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
