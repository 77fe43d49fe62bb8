/** What a Z-Image reads, and from where: one description for checks and for loading. */
import {
  checkpointChoice,
  type FileChoice,
  fileChoice,
  folderChoice,
  mainFileChoice,
  optionalChoice,
  type RequiredFiles,
} from '@flow-grpo/checkpoint-io';

/** Where the parts of a model come from, besides the model's own folders. */
export interface ZImagePlaces {
  /** Other weights of the transformer: a file, such as a single-file checkpoint of ComfyUI, a folder, or a hub id. */
  transformer?: string | undefined;
  /** `false` leaves the text encoder and its tokenizer out, where prompts come as states. */
  textEncoder?: boolean | undefined;
}

const HINT =
  'Z-Image is on the Hugging Face hub as Tongyi-MAI/Z-Image-Turbo and Tongyi-MAI/Z-Image, and is downloaded if you give that id; ' +
  "without a connection, give the folder that 'hf download Tongyi-MAI/Z-Image-Turbo --local-dir FOLDER' creates elsewhere.";

/** A part's configuration and weights, in its folder. */
const part = (folder: string) => ({
  config: fileChoice(`${folder}/config.json`),
  weights: folderChoice(folder, checkpointChoice()),
});

/** tokenizer.json, which needs its configuration. */
const tokenizer: FileChoice = {
  what: 'tokenizer/tokenizer.json with tokenizer_config.json',
  choose: (names) => {
    const files = ['tokenizer/tokenizer.json', 'tokenizer/tokenizer_config.json'];
    return files.every((file) => names.includes(file)) ? files : [];
  },
};

/** Weights of the transformer alone: a source that is a file stands for them. */
const otherTransformer: FileChoice = {
  ...mainFileChoice('diffusion_pytorch_model.safetensors'),
  what: 'weights of the transformer',
  choose: (names) => {
    const here = checkpointChoice().choose(names);
    return here.length > 0 ? here : folderChoice('transformer', checkpointChoice()).choose(names);
  },
};

/** Everything that loading reads; the model's own files and, where one is named, another transformer. */
export function zImageFiles(
  model: string,
  { transformer: other, textEncoder = true }: ZImagePlaces = {},
  revision?: string,
) {
  const own = part('transformer');
  const text = part('text_encoder');
  const vae = part('vae');
  const wanted = <T extends FileChoice>(choice: T, isWanted: boolean) =>
    isWanted ? optionalChoice({ ...choice }) : optionalChoice({ ...choice, choose: () => [] });
  return {
    model: {
      option: 'model',
      source: model,
      ...(revision !== undefined && { revision }),
      files: {
        index: optionalChoice(fileChoice('model_index.json')),
        scheduler: fileChoice('scheduler/scheduler_config.json'),
        transformerConfig: own.config,
        transformer: other === undefined ? own.weights : wanted(own.weights, false),
        textEncoderConfig: textEncoder ? text.config : wanted(text.config, false),
        textEncoder: textEncoder ? text.weights : wanted(text.weights, false),
        tokenizer: textEncoder ? tokenizer : wanted(tokenizer, false),
        vaeConfig: vae.config,
        vae: vae.weights,
      } as const,
      hint: HINT,
    } satisfies RequiredFiles,
    ...(other !== undefined && {
      transformer: {
        option: 'transformer',
        source: other,
        files: { weights: otherTransformer },
        hint: 'It is a safetensors file or a folder with one.',
      } satisfies RequiredFiles,
    }),
  };
}

/** What the text encoder alone reads. */
export const zImageTextFiles = (model: string, revision?: string) =>
  ({
    option: 'model',
    source: model,
    ...(revision !== undefined && { revision }),
    files: { ...part('text_encoder'), tokenizer },
    hint: HINT,
  }) satisfies RequiredFiles;

/** The same as a list, for checks. */
export const zImageRequiredFiles = (model: string, places: ZImagePlaces = {}): RequiredFiles[] =>
  Object.values(zImageFiles(model, places)).filter((each) => each !== undefined);
