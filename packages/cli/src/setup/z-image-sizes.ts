/** How large a Z-Image is, from its configuration alone. */
import { fileChoice, readJson } from '@flow-grpo/checkpoint-io';
import { ConfigError } from '@flow-grpo/grpo-trainer';
import { loraTargets, selectNames } from '@flow-grpo/nn';
import { parseTransformerConfig, type TransformerConfig, transformerSpecs } from '@flow-grpo/z-image-model';
import { LORA_TARGETS } from '@flow-grpo/z-image-model/policy';
import type { ModelSizes } from '../run/memory-estimate';
import type { ZImageSetupOptions } from '../run-file/setup-schema';
import { weightsOf } from '../run-file/train-schema';
import { loraSizes } from './lora';
import type { SetupContext } from './setup';
import { openSource } from './sources';

/** How much smaller than images the latents of Z-Image's autoencoder are. */
const SPATIAL_FACTOR = 8;

/**
 * Sizes of the transformer that `options` name. Its configuration is read; of a repository on the hub that is the one file
 * that is downloaded.
 *
 * @throws {ConfigError} when the configuration cannot be read, or nothing matches `train`.
 */
export async function zImageSizes(
  options: ZImageSetupOptions,
  context: SetupContext = {},
): Promise<ModelSizes> {
  const { train, dtype } = options;
  const [height, width] = options.size;
  const config = await readTransformerConfigOf(options, context);
  const specs = transformerSpecs(config);
  const size = (name: string) => specs[name]!.shape.reduce((a, b) => a * b, 1);
  const names = Object.keys(specs);
  const parameters = sum(names.map(size));
  const lora = await loraSizes(train, LORA_TARGETS, context);
  const trained = await orConfigError('train', async () =>
    lora
      ? loraTargets(specs, lora.targets).map((name) => `${name}.weight`)
      : selectNames(names, weightsOf(train) ?? ['all']),
  );
  const trainedParameters = sum(
    trained.map((name) => (lora ? lora.rank * sum(specs[name]!.shape) : size(name))),
  );
  const adapters = lora ? trainedParameters : 0;
  return {
    weightBytes: (dtype === 'bfloat16' ? 2 : 4) * parameters + 4 * adapters,
    parameters: parameters + adapters,
    trainedParameters,
    referenceCopies: lora === undefined,
    latentSize: ((height / SPATIAL_FACTOR) * width * config.inChannels) / SPATIAL_FACTOR,
    featureBytes: 0,
  };
}

/**
 * The configuration of the transformer that `options` name.
 *
 * @throws {ConfigError} when it cannot be read
 */
export async function readTransformerConfigOf(
  { model }: ZImageSetupOptions,
  context: SetupContext,
): Promise<TransformerConfig> {
  const files = { config: fileChoice('transformer/config.json') };
  const { paths } = await openSource({ option: 'setup.model', source: model, files }, context);
  return orConfigError('model', async () =>
    parseTransformerConfig(await readJson(paths.config), paths.config),
  );
}

async function orConfigError<T>(option: string, make: () => Promise<T>): Promise<T> {
  return make().catch((error: Error) => {
    throw new ConfigError(`setup.${option}: ${error.message}`, { cause: error });
  });
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
