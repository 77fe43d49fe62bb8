/** How large a Show-o2 is, from its configuration alone. */
import { fileChoice, mainFileChoice } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { loraTargets, type NamePattern, selectNames } from '@flow-grpo/nn';
import {
  imageBlockLength,
  type Showo2Config,
  showo2LatentShape,
  showo2ParameterSpecs,
} from '@flow-grpo/showo2-model';
import { readShowo2Config } from '@flow-grpo/showo2-model/node';
import type { ModelSizes } from '../run/memory-estimate';
import type { Showo2SetupOptions } from '../run-file/setup-schema';
import { weightsOf } from '../run-file/train-schema';
import { loraSizes } from './lora';
import type { SetupContext } from './setup';
import { ADAPTED_LAYERS } from './showo2';
import { openSource } from './sources';

/**
 * Sizes of the model that `options` name. Its configuration is read; of a repository on the hub that is the one file
 * that is downloaded.
 *
 * @throws {ConfigError} when the configuration cannot be read, or nothing matches `train`.
 */
export async function showo2Sizes(
  options: Showo2SetupOptions,
  context: SetupContext = {},
): Promise<ModelSizes> {
  const config = await readShowo2ConfigOf(options, context);
  const specs = showo2ParameterSpecs(config);
  const size = (name: string) => specs[name]!.shape.reduce((a, b) => a * b, 1);
  const names = Object.keys(specs);
  const total = sum(names.map(size));
  const lora = await loraSizes(options.train, ADAPTED_LAYERS, context);
  const trained = trainedNames(specs, options, lora?.targets);
  const headOnly = trained.every((name) => name.startsWith('diffusion_head_'));
  const stored = options.dtype === 'bfloat16' ? 2 : 4;
  const branches = options.guidanceScale > 0 && options.guidanceInTraining ? 2 : 1;
  const trainedParameters = sum(
    trained.map((name) => (lora ? lora.rank * sum(specs[name]!.shape) : size(name))),
  );
  const adapters = lora ? trainedParameters : 0;
  return {
    weightBytes: stored * total + 4 * adapters,
    parameters: total + adapters,
    trainedParameters,
    referenceCopies: lora === undefined,
    latentSize: showo2LatentShape(config).reduce((a, b) => a * b, 1),
    featureBytes: headOnly ? branches * imageBlockLength(config) * config.head.hiddenSize * stored : 0,
  };
}

/**
 * The configuration of the model that `options` name.
 *
 * @throws {ConfigError} when it cannot be read
 */
export async function readShowo2ConfigOf(
  options: Showo2SetupOptions,
  context: SetupContext,
): Promise<Showo2Config> {
  const given = options.config !== undefined;
  const source = options.config ?? options.model;
  const files = { config: given ? mainFileChoice('config.json') : fileChoice('config.json') };
  const { paths } = await openSource(
    { option: given ? 'setup.config' : 'setup.model', source, files },
    context,
  );
  try {
    return await readShowo2Config(paths.config);
  } catch (error) {
    throw new ConfigError(`setup.model: ${(error as Error).message}`, { cause: error });
  }
}

/** @param targets layers that get adapters, where adapters train */
function trainedNames(
  specs: ReturnType<typeof showo2ParameterSpecs>,
  { train }: Showo2SetupOptions,
  targets: readonly NamePattern[] | undefined,
): string[] {
  try {
    return targets
      ? loraTargets(specs, targets).map((name) => `${name}.weight`)
      : selectNames(Object.keys(specs), weightsOf(train) ?? ['diffusion_head_*']);
  } catch (error) {
    throw new ConfigError(`setup.train: ${(error as Error).message}`, { cause: error });
  }
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
