import { readFile, stat } from 'node:fs/promises';
import {
  type FetchFilesOptions,
  type FileChoices,
  fetchFiles,
  type HubOptions,
  loadParams,
  type RequiredFiles,
} from '@flow-grpo/checkpoint-io';
import { castParams, type Params, uploadAs, warnIfUncompiled } from '@flow-grpo/nn';
import { defaultStorage, type FloatStorage } from '@flow-grpo/tfjs-jit';

export interface SourceOptions {
  /** Settings of the Hugging Face hub, for models given by id; the revision is the model's. */
  hub?: HubOptions & { revision?: string };
  /** Called with the progress of each download. */
  onDownload?: FetchFilesOptions['onDownload'];
  /** Cancels the loading. */
  signal?: AbortSignal;
}

/** The paths of the required files, downloaded where they must be. */
export async function pathsOf<Files extends FileChoices>(
  required: RequiredFiles<Files>,
  { hub: { revision: _, ...hub } = {}, onDownload, signal }: SourceOptions,
) {
  const { paths } = await fetchFiles(required, {
    hub,
    ...(onDownload && { onDownload }),
    ...(signal && { signal }),
  });
  return paths;
}

/** A parsed JSON file; undefined without a path. Throws on broken JSON and more than `maxBytes`, naming the file. */
export async function optionalJson(path: string | undefined, maxBytes = 2 ** 24): Promise<unknown> {
  if (path === undefined) return undefined;
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw new Error(`it has ${size} bytes, more than ${maxBytes}`);
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} is not JSON: ${(error as Error).message}`, { cause: error });
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
  warnIfUncompiled(path, params);
  return castParams(params, storage);
}
