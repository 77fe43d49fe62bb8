/** The files that scorers with models read: one description for checking and loading. */
import {
  checkpointChoice,
  type FileChoice,
  fileChoice,
  firstChoice,
  mainFileChoice,
  optionalChoice,
  type RequiredFiles,
} from '@flow-grpo/checkpoint-io';

/** Where each published checkpoint is, in words. */
const hub = (id: string, files: string) => `https://huggingface.co/${id} (${files})`;
const CLIP = 'openai/clip-vit-large-patch14';
const HEAD = 'sac+logos+ava1-l14-linearMSE.pth';

export const PUBLISHED = {
  pickscore: `${hub('yuvalkirstain/PickScore_v1', 'config.json, model.safetensors')}, as option processor ${hub('laion/CLIP-ViT-H-14-laion2B-s32B-b79K', 'tokenizer.json, preprocessor_config.json')}`,
  clipscore: hub(CLIP, 'config.json, model.safetensors, tokenizer.json, preprocessor_config.json'),
  aesthetic: `${hub(CLIP, 'config.json, model.safetensors')}, as option head ${HEAD} of https://github.com/christophschuhmann/improved-aesthetic-predictor`,
  imagereward: `${hub('THUDM/ImageReward', 'ImageReward.pt')}, as option processor ${hub('google-bert/bert-base-uncased', 'tokenizer.json')}`,
  hpsv2: `${hub('xswu/HPSv2', 'HPS_v2.1_compressed.pt')}, as option processor ${hub(CLIP, 'tokenizer.json')}`,
} as const;

const hintOf = (name: keyof typeof PUBLISHED) =>
  `The published checkpoint is at ${PUBLISHED[name]}; give a path or a hub id.`;

const tokenizerHintOf = (name: keyof typeof PUBLISHED) =>
  `${hintOf(name)} For another tokenizer name a model that has one in the option 'processor', or write one in Python ` +
  `with AutoTokenizer.from_pretrained(...).save_pretrained(folder).`;

/** The options that say where files come from. */
interface Places {
  model?: string | undefined;
  processor?: string | undefined;
  /** File of the checkpoint in its folder or repository. */
  file?: string | undefined;
  hub?: { readonly revision?: string } | undefined;
}

/** The revision given for the model; other repositories have others. */
const revisionOf = ({ hub }: Places, source: string, model: string) =>
  hub?.revision !== undefined && source === model ? { revision: hub.revision } : {};

const tokenizerFiles = {
  tokenizer: fileChoice('tokenizer.json'),
  tokenizerConfig: optionalChoice(fileChoice('tokenizer_config.json')),
};

/** The files of a transformers CLIPModel; without its text tower no tokenizer is needed. */
function clipFiles(name: keyof typeof PUBLISHED, model: string, processor: string, places: Places) {
  const preprocessor = optionalChoice(fileChoice('preprocessor_config.json'));
  return {
    model: {
      option: 'model',
      source: model,
      files: { config: fileChoice('config.json'), weights: checkpointChoice() },
      hint: hintOf(name),
      ...revisionOf(places, model, model),
    },
    processor: {
      option: 'processor',
      source: processor,
      files: { preprocessor, ...tokenizerFiles },
      hint: tokenizerHintOf(name),
      ...revisionOf(places, processor, model),
    },
  } satisfies Record<string, RequiredFiles>;
}

export type ClipFiles = ReturnType<typeof clipFiles>;

export function clipScoreFiles(options: Places): ClipFiles {
  const { model = CLIP, processor = model } = options;
  return clipFiles('clipscore', model, processor, options);
}

export function pickScoreFiles(options: Places): ClipFiles {
  const { model = 'yuvalkirstain/PickScore_v1' } = options;
  const usual = options.model === undefined ? 'laion/CLIP-ViT-H-14-laion2B-s32B-b79K' : model;
  return clipFiles('pickscore', model, options.processor ?? usual, options);
}

/** Only pictures are seen, so the text tower has no tokenizer. */
export function aestheticFiles(options: Places & { head: string }) {
  const { model = CLIP, processor = model } = options;
  const clip = clipFiles('aesthetic', model, processor, options);
  const { preprocessor } = clip.processor.files;
  return {
    model: clip.model,
    processor: { ...clip.processor, files: { preprocessor } },
    head: {
      option: 'head',
      source: options.head,
      files: { weights: firstChoice(mainFileChoice(HEAD), checkpointChoice()) },
      hint: hintOf('aesthetic'),
    },
  } satisfies Record<string, RequiredFiles>;
}

/** A checkpoint that does not follow transformers' layout, and the tokenizer of another model. */
function singleFile(
  name: 'imagereward' | 'hpsv2',
  places: Places & { model: string; processor: string },
  file: string,
) {
  const { model, processor } = places;
  const weights: FileChoice =
    places.file === undefined
      ? firstChoice(mainFileChoice(file), checkpointChoice())
      : mainFileChoice(places.file);
  return {
    model: {
      option: 'model',
      source: model,
      files: { weights },
      hint: hintOf(name),
      ...revisionOf(places, model, model),
    },
    processor: { option: 'processor', source: processor, files: tokenizerFiles, hint: tokenizerHintOf(name) },
  } satisfies Record<string, RequiredFiles>;
}

export const imageRewardFiles = (options: Places) =>
  singleFile(
    'imagereward',
    {
      ...options,
      model: options.model ?? 'THUDM/ImageReward',
      processor: options.processor ?? 'google-bert/bert-base-uncased',
    },
    'ImageReward.pt',
  );

export const hpsFiles = (options: Places) =>
  singleFile(
    'hpsv2',
    { ...options, model: options.model ?? 'xswu/HPSv2', processor: options.processor ?? CLIP },
    'HPS_v2.1_compressed.pt',
  );
