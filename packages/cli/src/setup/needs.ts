/** What a setup takes from elsewhere: files, repositories of the hub, servers, packages. */
import type { RewardChoice, Showo2SetupOptions } from '../run-file/setup-schema';

/** One of them, how to tell that it is there, and where to get it. */
export interface Need {
  /** The option that names it. */
  readonly option: string;
  /** A path or hub id; the address of a server; the name of a package. */
  readonly place: string;
  readonly kind: 'model' | 'dataset' | 'file' | 'server' | 'package';
  /** Which files are taken of a folder or repository. */
  readonly wanted: RegExp;
  /** What a folder or repository must have among them, in words and as patterns. */
  readonly holds: readonly (readonly [what: string, pattern: RegExp])[];
  readonly hint: string;
}

const VAE_FILE = 'Wan2.1_VAE.pth';
export const PROMPT_FILES = /^(train|test)(_metadata)?\.(txt|jsonl|csv|parquet)$/;

/** The names that the loader looks for. */
const WEIGHTS = /^(diffusion_pytorch_|pytorch_)?model[^/]*\.(safetensors|bin)$/;
const CLIP_WEIGHTS = /^(model|pytorch_model)[^/]*\.(safetensors|bin)$/;
const PROCESSOR = /^(preprocessor_config|tokenizer|tokenizer_config|special_tokens_map)\.json$/;

const hub = (id: string, what: string, file = '') =>
  `${what} is on the Hugging Face hub: give its id, ${id}, to have it downloaded; without a connection, give the folder that 'hf download ${id}${file} --local-dir FOLDER' makes elsewhere.`;
const HINTS = {
  model: hub('showlab/show-o2-1.5B', 'Show-o2 (also -1.5B-HQ and -7B)'),
  config:
    "It is the checkpoint's config.json, or a configs/showo2_*.yaml of https://github.com/showlab/Show-o.",
  tokenizer: hub('Qwen/Qwen2.5-1.5B-Instruct', "The tokenizer of Show-o2's language model"),
  vae: hub('Wan-AI/Wan2.1-T2V-1.3B', `Wan 2.1's VAE, ${VAE_FILE},`, ` ${VAE_FILE}`),
  dataset:
    "flow_grpo's prompts (pickscore, geneval, ocr) are the folders of https://github.com/yifan123/flow_grpo/tree/main/dataset; a file of your own has a prompt a line.",
  server: 'Start it first: https://github.com/yifan123/reward-server has flow_grpo’s servers.',
  ocr: 'npm install @gutenye/ocr-node',
} as const;

/**
 * Everything that `options` name.
 *
 * @param fromHub whether the model is a repository of the hub: its tokenizer and VAE are then found by its configuration
 */
export function showo2Needs(options: Showo2SetupOptions, fromHub: boolean): Need[] {
  const { model, config, tokenizer, vae, dataset, evalDataset } = options;
  const files = (option: keyof typeof HINTS, place: string, rest: Pick<Need, 'wanted' | 'holds'>): Need => ({
    option: `setup.${option}`,
    place,
    kind: 'model',
    ...rest,
    hint: HINTS[option],
  });
  const own = (option: 'tokenizer' | 'vae', what: string, wanted: RegExp): Need =>
    files(option, model, { wanted, holds: [[`${what}; setup.${option} is not given`, wanted]] });
  const prompts = (option: string, place: string, split: string): Need => ({
    option,
    place,
    kind: 'dataset',
    wanted: PROMPT_FILES,
    holds: [[`${split}.txt or ${split}_metadata.jsonl`, new RegExp(`^${split}(_metadata)?\\.`)]],
    hint: HINTS.dataset,
  });
  const needs: Need[] = [
    files('model', model, {
      wanted: /^[^/]+\.(json|safetensors|bin)$/,
      holds: [
        ...(config === undefined ? [['config.json', /^config\.json$/] as const] : []),
        ['model.safetensors or pytorch_model.bin', WEIGHTS],
      ],
    }),
  ];
  if (tokenizer !== undefined) {
    const wanted = /^(tokenizer|tokenizer_config|vocabulary)\.json$/;
    const holds = [['tokenizer.json', /^(tokenizer|vocabulary)\.json$/]] as const;
    needs.push(files('tokenizer', tokenizer, { wanted, holds }));
  } else if (!fromHub) {
    needs.push(own('tokenizer', 'tokenizer.json', /^(tokenizer\/)?(tokenizer|vocabulary)\.json$/));
  }
  if (vae !== undefined) {
    const wanted = /^(vae\/)?(config\.json|Wan2\.1_VAE\.pth|(diffusion_pytorch_)?model[^/]*\.safetensors)$/;
    const holds = [[VAE_FILE, /\.(safetensors|pth)$/]] as const;
    needs.push(files('vae', vae, { wanted, holds }));
  } else if (!fromHub) {
    needs.push(own('vae', `${VAE_FILE} or vae/`, /^(vae\/.+|Wan2\.1_VAE\.pth)$/));
  }
  needs.push(prompts('setup.dataset', dataset, 'train'));
  if (config !== undefined) {
    needs.push({
      option: 'setup.config',
      place: config,
      kind: 'file',
      wanted: /./,
      holds: [],
      hint: HINTS.config,
    });
  }
  if (evalDataset !== undefined) needs.push(prompts('setup.evalDataset', evalDataset, 'test'));
  return needs;
}

/** What each reward takes where its options do not say. */
const REWARD_DEFAULTS: Partial<
  Record<keyof RewardChoice, { model: string; processor?: string; file?: string }>
> = {
  pickscore: {
    model: 'yuvalkirstain/PickScore_v1',
    processor: 'laion/CLIP-ViT-H-14-laion2B-s32B-b79K',
  },
  clipscore: { model: 'openai/clip-vit-large-patch14' },
  aesthetic: { model: 'openai/clip-vit-large-patch14' },
  imagereward: { model: 'THUDM/ImageReward', processor: 'bert-base-uncased', file: 'ImageReward.pt' },
  hpsv2: {
    model: 'xswu/HPSv2',
    processor: 'openai/clip-vit-large-patch14',
    file: 'HPS_v2.1_compressed.pt',
  },
};

/**
 * What the chosen rewards need.
 *
 * @param whereToGet a reward's checkpoints, in words
 */
export function rewardNeeds(choice: RewardChoice, whereToGet: (name: string) => string | undefined): Need[] {
  return Object.entries(choice).flatMap(([name, value]) => {
    const options = (typeof value === 'object' ? value : {}) as Readonly<Record<string, unknown>>;
    const need = (key: string, place: unknown, rest: Partial<Need> = {}): Need[] =>
      typeof place !== 'string'
        ? []
        : [
            {
              option: `setup.reward.${name}.${key}`,
              place,
              kind: 'model',
              wanted: /./,
              holds: [],
              hint: `It takes ${whereToGet(name) ?? 'files of your own'}; give a path or a hub id.`,
              ...rest,
            },
          ];
    if (value === undefined) return [];
    if (name === 'ocr') {
      return need('package', '@gutenye/ocr-node', {
        option: 'setup.reward.ocr',
        kind: 'package',
        hint: HINTS.ocr,
      });
    }
    if (options.url !== undefined) return need('url', options.url, { kind: 'server', hint: HINTS.server });
    const usual = REWARD_DEFAULTS[name as keyof RewardChoice];
    if (!usual) return [];
    const file = (options.file as string | undefined) ?? usual.file;
    const exactly = file && new RegExp(`^${file.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
    const processor =
      options.processor ?? (options.model === undefined || file ? usual.processor : undefined);
    return [
      ...need('model', options.model ?? usual.model, {
        wanted: exactly || new RegExp(`${CLIP_WEIGHTS.source}|${PROCESSOR.source}|^config\\.json$`),
        holds: exactly
          ? [[file, exactly]]
          : [
              ['config.json', /^config\.json$/],
              ['weights (.safetensors or .bin)', CLIP_WEIGHTS],
            ],
      }),
      ...need('processor', processor, {
        wanted: PROCESSOR,
        holds: [['tokenizer.json', /^tokenizer\.json$/]],
      }),
      ...need('head', options.head, { kind: 'file' }),
    ];
  });
}
