import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HubError, type HubOptions, loadParams, snapshotDownload } from '@flow-grpo/checkpoint-io';
import { defaultStorage, holdParams, type Params, uploadAs } from '@flow-grpo/nn';
import type { FloatStorage } from '@flow-grpo/tfjs-jit';

export interface SourceOptions {
  /** Settings of the Hugging Face hub, for models given by id. */
  hub?: HubOptions & { revision?: string };
  /** Aborts the loading. */
  signal?: AbortSignal;
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Configurations and tokenizers: small, and all there is of some repositories that is wanted. */
const SMALL_FILES = /^(config|preprocessor_config|tokenizer|tokenizer_config|special_tokens_map)\.json$/;

/** The file names transformers gives weights, in the order of preference. */
const WEIGHT_FILES = [
  /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/,
  /^pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?$/,
];

/** The folder with the JSON files of a model: a path as it is (a file stands for its folder), or a hub id. */
export async function jsonFolder(pathOrId: string, options: SourceOptions = {}): Promise<string> {
  const found = await stat(pathOrId).catch(() => undefined);
  if (found) return found.isDirectory() ? pathOrId : dirname(pathOrId);
  const { hub, signal } = options;
  return snapshotDownload(pathOrId, {
    ...hub,
    filter: (file) => SMALL_FILES.test(file),
    ...(signal && { signal }),
  });
}

/**
 * Where the weights of a model are: a path as it is, or a hub id whose safetensors (else PyTorch) files are
 * downloaded. `file` names one file of the repository for those that do not follow transformers' layout.
 */
export async function weightsPath(
  pathOrId: string,
  options: SourceOptions & { file?: string } = {},
): Promise<string> {
  const { hub, signal, file } = options;
  if (await exists(pathOrId)) {
    const inside = file && join(pathOrId, file);
    return inside && (await exists(inside)) ? inside : pathOrId;
  }
  const download = (filter: (name: string) => boolean) =>
    snapshotDownload(pathOrId, { ...hub, filter, ...(signal && { signal }) });
  if (file) return join(await download((name) => name === file), file);
  const [safe, torch] = WEIGHT_FILES as [RegExp, RegExp];
  return download((name) => safe.test(name)).catch((error: unknown) => {
    // A repository without safetensors says so without an HTTP status.
    if (error instanceof HubError && error.status === undefined) return download((name) => torch.test(name));
    throw error;
  });
}

/** A JSON file of `folder`, undefined where there is none. Throws on broken JSON, naming the file. */
export async function optionalJson(folder: string, name: string): Promise<unknown> {
  const path = join(folder, name);
  if (!(await exists(path))) return undefined;
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`);
  }
}

/**
 * How weights are held, and with them the activations they meet. bfloat16 halves the memory and is the speed of
 * accelerators' matrix units; backends other than XLA hold it as float32.
 */
export type ModelDtype = Exclude<FloatStorage, 'float16'>;

/** A weight's own name in files of training runs, which keep it beside an optimizer's state or in a wrapper. */
const ownName = (name: string): string => name.replace(/^state_dict\./, '').replace(/^module\./, '');

/**
 * Loads the chosen weights onto the current backend, held as `dtype` (bfloat16 on accelerators, float32 on CPUs by
 * default) but for CLIP's temperature, whose exponential would carry the error of bfloat16 into every score. Integer
 * buffers are left out. Stored bfloat16 is never widened on the way.
 *
 * @throws when the checkpoint has none of them
 */
export async function loadWeights(
  path: string,
  options: { filter: (name: string) => boolean; dtype?: ModelDtype; signal?: AbortSignal },
): Promise<Params> {
  const { filter, dtype = defaultStorage(), signal } = options;
  const storage = (name: string) => (name === 'logit_scale' ? 'float32' : dtype);
  const params = await loadParams(path, {
    filter: (name) => !name.endsWith('position_ids') && filter(ownName(name)),
    rename: ownName,
    upload: uploadAs(storage),
    ...(signal && { signal }),
  });
  if (Object.keys(params).length === 0)
    throw new Error(`${path} holds none of the weights this model needs.`);
  return holdParams(params, storage);
}
