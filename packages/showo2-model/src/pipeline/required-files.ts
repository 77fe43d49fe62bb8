/** What a Show-o2 reads, and from where: one description for checks and for loading. */
import { posix } from 'node:path';
import {
  checkpointChoice,
  type FileChoice,
  fetchPart,
  fileChoice,
  findFiles,
  firstChoice,
  folderChoice,
  MissingFilesError,
  mainFileChoice,
  optionalChoice,
  parseSource,
  type RequiredFiles,
  readJson,
  type SourceOptions,
} from '@flow-grpo/checkpoint-io';

/** Where the parts of a model come from: paths or hub ids. */
export interface Showo2Places {
  /** The configuration's file; the model's config.json by default. */
  config?: string | undefined;
  /** By default the model's own; for a hub id without one, the language model that its config.json names. */
  tokenizer?: string | undefined;
  /** By default the model's own; for a hub id without one, that of Wan 2.1. */
  vae?: string | undefined;
}

/** What Wan 2.1's repositories call the VAE, and the one that upstream takes it from. */
const VAE_FILE = 'Wan2.1_VAE.pth';
const VAE_REPOSITORY = 'Wan-AI/Wan2.1-T2V-14B';

const published = (id: string, what: string, file = '') =>
  `${what} is on the Hugging Face hub as ${id}, and is downloaded if you give that id; without a connection, give the ` +
  `folder that 'hf download ${id}${file} --local-dir FOLDER' creates elsewhere.`;
const HINTS = {
  model: published('showlab/show-o2-1.5B', 'Show-o2 (also -1.5B-HQ and -7B)'),
  config:
    "It is the checkpoint's config.json, or a configs/showo2_*.yaml of https://github.com/showlab/Show-o.",
  tokenizer: published('Qwen/Qwen2.5-1.5B-Instruct', "The tokenizer of Show-o2's language model"),
  vae: published('Wan-AI/Wan2.1-T2V-1.3B', `Wan 2.1's VAE, ${VAE_FILE},`, ` ${VAE_FILE}`),
};

/** vocabulary.json, else tokenizer.json, which needs its configuration. */
const tokenizerChoice: FileChoice = {
  what: 'tokenizer.json with tokenizer_config.json, or vocabulary.json',
  choose: (names) => {
    const files = names.includes('vocabulary.json')
      ? ['vocabulary.json']
      : ['tokenizer.json', 'tokenizer_config.json'];
    return files.every((file) => names.includes(file)) ? files : [];
  },
};
const ownTokenizer: FileChoice = {
  ...firstChoice(folderChoice('tokenizer', tokenizerChoice), tokenizerChoice),
  what: tokenizerChoice.what,
};

const ownVae: FileChoice = {
  ...firstChoice(folderChoice('vae', checkpointChoice()), fileChoice(VAE_FILE)),
  what: `${VAE_FILE} or vae/`,
};
const anyVae: FileChoice = {
  ...firstChoice(mainFileChoice(VAE_FILE), folderChoice('vae', checkpointChoice()), checkpointChoice()),
  what: `${VAE_FILE} or other weights of the VAE`,
};
/** The weights of a VAE with the config.json beside them; Wan's own file has none, whatever lies there. */
const vaeFiles = (weights: FileChoice) => ({
  weights,
  config: optionalChoice({
    what: "the VAE's config.json",
    choose: (names, file) => {
      const [first] = file === undefined ? weights.choose(names) : [];
      if (first === undefined || first.endsWith(VAE_FILE)) return [];
      const config = posix.join(posix.dirname(first), 'config.json');
      return names.filter((name) => name === config);
    },
  }),
});

/** Each part of a model with what is read of it. */
export interface Showo2Files {
  readonly model: RequiredFiles<{ config: FileChoice; weights: FileChoice }>;
  /** Where the options name a file for it. */
  readonly config?: RequiredFiles<{ config: FileChoice }>;
  readonly tokenizer: RequiredFiles<{ tokenizer: FileChoice }>;
  readonly vae: RequiredFiles<ReturnType<typeof vaeFiles>>;
}

/**
 * What a model by its path or hub id reads. Where a repository has no tokenizer of its own, its config.json is
 * downloaded, which names the language model.
 */
export async function showo2Files(
  model: string,
  { config, tokenizer, vae }: Showo2Places,
  options: SourceOptions = {},
): Promise<Showo2Files> {
  const own = { source: model, ...(options.hub?.revision && { revision: options.hub.revision }) };
  const fromHub = await parseSource(model).then(
    ({ kind }) => kind === 'hub',
    () => false,
  );
  const lacks = (choice: FileChoice) => fromHub && isMissing({ option: 'model', ...own }, choice, options);
  const language =
    tokenizer === undefined && (await lacks(ownTokenizer)) ? await languageModelOf(own, options) : undefined;
  const otherVae = vae ?? ((await lacks(ownVae)) ? VAE_REPOSITORY : undefined);
  const otherTokenizer = tokenizer ?? language;
  return {
    model: {
      option: 'model',
      ...own,
      files: {
        config: config === undefined ? fileChoice('config.json') : optionalChoice(fileChoice('config.json')),
        weights: checkpointChoice(),
      },
      hint: HINTS.model,
    },
    ...(config !== undefined && {
      config: {
        option: 'config',
        source: config,
        files: { config: mainFileChoice('config.json') },
        hint: HINTS.config,
      },
    }),
    tokenizer: {
      option: 'tokenizer',
      ...(otherTokenizer === undefined ? own : { source: otherTokenizer }),
      files: { tokenizer: otherTokenizer === undefined ? ownTokenizer : tokenizerChoice },
      hint: HINTS.tokenizer,
    },
    vae: {
      option: 'vae',
      ...(otherVae === undefined ? own : { source: otherVae }),
      files: vaeFiles(otherVae === undefined ? ownVae : anyVae),
      hint: HINTS.vae,
    },
  };
}

/** The same as a list, for checks. */
export async function showo2RequiredFiles(
  model: string,
  places: Showo2Places = {},
  options: SourceOptions = {},
): Promise<RequiredFiles[]> {
  return Object.values(await showo2Files(model, places, options));
}

type Own = Pick<RequiredFiles, 'source' | 'revision'>;

/** Whether a repository has no such file; of one that cannot be looked at, nothing is known to be missing. */
async function isMissing(
  source: Own & { option: string },
  choice: FileChoice,
  { hub: { revision: _, ...hub } = {}, signal }: SourceOptions,
): Promise<boolean> {
  try {
    const files = { part: optionalChoice(choice) };
    return (await findFiles({ ...source, files }, { hub, ...(signal && { signal }) })).files.length === 0;
  } catch (error) {
    if (error instanceof MissingFilesError) return false;
    throw error;
  }
}

/** Upstream's `llm_model_path` in a repository's config.json. */
async function languageModelOf(source: Own, options: SourceOptions): Promise<string | undefined> {
  const { paths } = await fetchPart(
    { option: 'model', ...source, files: { config: optionalChoice(fileChoice('config.json')) } },
    options,
  );
  if (paths.config === undefined) return undefined;
  const config = (await readJson(paths.config)) as { llm_model_path?: unknown } | null;
  return typeof config?.llm_model_path === 'string' && config.llm_model_path !== ''
    ? config.llm_model_path
    : undefined;
}
