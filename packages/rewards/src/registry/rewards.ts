import { z } from 'zod';
import {
  aestheticFiles,
  clipScoreFiles,
  hpsFiles,
  imageRewardFiles,
  PUBLISHED,
  pickScoreFiles,
} from '../models/required-files';
import { defineReward, type RewardDefinition } from './define';

const text = (what: string) => z.string().min(1).optional().describe(what);
const count = (what: string) => z.int().min(1).optional().describe(what);

const model = {
  model: text('Folder or hub id of the model'),
  processor: text('Folder or hub id with tokenizer.json and preprocessor_config.json'),
  dtype: z.enum(['float32', 'bfloat16']).optional().describe('Storage type of the weights'),
  batchSize: count('Images in one run of the model; 16 by default'),
};
const file = text('File of the checkpoint in its folder or repository');
const requests = {
  concurrency: count('Concurrent requests; 4 by default'),
  retries: z.int().min(0).optional().describe('Retries of a failed request; 20 by default'),
  timeout: z.number().positive().optional().describe('Milliseconds for each attempt; 120,000 by default'),
};
const server = {
  url: z.url().describe('Address of the server'),
  batchSize: count('Most images per request; 64 by default'),
  ...requests,
};
const judge = {
  baseURL: z.url().describe('Base address of the server, such as http://127.0.0.1:8000/v1'),
  model: text('Name of the served model'),
  concurrency: count('Concurrent requests; 8 by default'),
  retries: z.int().min(0).optional().describe('Retries of a failed request; 5 by default'),
  timeout: requests.timeout,
};

const models = () => import('../models');
const remote = () => import('../remote');

/**
 * Every reward by the name flow_grpo has for it, where it has one. A scorer's code is loaded when it is made, so that
 * schemas and checks cost nothing.
 */
export const REWARDS = {
  pickscore: defineReward({
    summary: 'PickScore: a CLIP ViT-H trained on preferences, divided by 26',
    needsBackend: true,
    options: z.strictObject(model),
    requiredFiles: (options) => Object.values(pickScoreFiles(options)),
    published: PUBLISHED.pickscore,
    make: async (options, context) => (await models()).pickScore({ ...options, ...context }),
  }),
  clipscore: defineReward({
    summary: "CLIP's agreement of image and prompt, divided by 30",
    needsBackend: true,
    options: z.strictObject(model),
    requiredFiles: (options) => Object.values(clipScoreFiles(options)),
    published: PUBLISHED.clipscore,
    make: async (options, context) => (await models()).clipScore({ ...options, ...context }),
  }),
  aesthetic: defineReward({
    summary: 'The improved aesthetic predictor, about 1 to 10; prompts are not used',
    needsPrompts: false,
    needsBackend: true,
    options: z.strictObject({
      ...model,
      head: z
        .string()
        .min(1)
        .describe('The linear layers, sac+logos+ava1-l14-linearMSE.pth: a path or org/name/file of the hub'),
    }),
    requiredFiles: (options) => Object.values(aestheticFiles(options)),
    published: PUBLISHED.aesthetic,
    make: async (options, context) => (await models()).aesthetic({ ...options, ...context }),
  }),
  imagereward: defineReward({
    summary: 'ImageReward: BLIP with a head trained on preferences, about -2 to 2',
    needsBackend: true,
    options: z.strictObject({ ...model, file }),
    requiredFiles: (options) => Object.values(imageRewardFiles(options)),
    published: PUBLISHED.imagereward,
    make: async (options, context) => (await models()).imageReward({ ...options, ...context }),
  }),
  hpsv2: defineReward({
    summary: 'HPSv2: a CLIP ViT-H-14 trained on preferences, about 0.2 to 0.35',
    needsBackend: true,
    options: z.strictObject({
      ...model,
      file,
      resize: z
        .enum(['antialias', 'plain', 'pillow'])
        .optional()
        .describe('How images are resized; antialias by default'),
    }),
    requiredFiles: (options) => Object.values(hpsFiles(options)),
    published: PUBLISHED.hpsv2,
    make: async (options, context) => (await models()).hpsv2({ ...options, ...context }),
  }),
  ocr: defineReward({
    summary: 'How close the text read in the image is to what the prompt quotes',
    requiredPackage: '@gutenye/ocr-node',
    make: async () => (await import('../ocr')).ocr(),
  }),
  geneval: defineReward({
    summary: "flow_grpo's GenEval server; needs the metadata of a GenEval set",
    serverOption: 'url',
    options: z.strictObject({
      ...server,
      onlyStrict: z.boolean().optional().describe('Strict rewards only'),
    }),
    make: async (options) => (await remote()).geneval(options),
  }),
  deqa: defineReward({
    summary: "flow_grpo's DeQA server of image quality; prompts are not used",
    needsPrompts: false,
    serverOption: 'url',
    options: z.strictObject(server),
    make: async (options) => (await remote()).deqa(options),
  }),
  unifiedreward: defineReward({
    summary: "flow_grpo's UnifiedReward server",
    serverOption: 'url',
    options: z.strictObject(server),
    make: async (options) => (await remote()).unifiedReward(options),
  }),
  unifiedreward_openai: defineReward({
    summary: 'UnifiedReward behind an OpenAI-compatible server',
    serverOption: 'baseURL',
    options: z.strictObject(judge),
    make: async (options) => (await import('../judge')).unifiedRewardOpenai(options),
  }),
  server: defineReward({
    summary: 'A scorer that another process serves with serveScorer()',
    serverOption: 'url',
    options: z.strictObject(server),
    make: async (options) => (await import('../server/client')).rewardServerClient(options),
  }),
  jpeg_compressibility: defineReward({
    summary: 'Minus the size as JPEG of quality 95, in units of 500 kB',
    needsPrompts: false,
    make: async () => (await import('../jpeg/jpeg-size')).jpegCompressibility(),
  }),
  jpeg_incompressibility: defineReward({
    summary: 'The size as JPEG of quality 95, in kB',
    needsPrompts: false,
    make: async () => (await import('../jpeg/jpeg-size')).jpegIncompressibility(),
  }),
  shapes: defineReward({
    summary: "GenEval's question for scenes of coloured shapes; needs their metadata",
    options: z.strictObject({
      strictWeight: z
        .number()
        .min(0)
        .max(1)
        .optional()
        .describe('Weight of the strict verdict; 0.5 by default'),
    }),
    make: async (options) => (await import('../shapes')).shapeEval(options),
  }),
  human: defineReward({
    summary: "You: a person who compares each prompt's images on the run's page (train --ui)",
    options: z.strictObject({
      answers: text('answers.jsonl of an earlier run, whose answers are reused'),
    }),
    make: async ({ answers }, { person }) => {
      const { humanReward } = await import('../human/human-reward');
      const { readAnswers, withAnswers } = await import('../human/answers');
      if (answers !== undefined) return humanReward(withAnswers(await readAnswers(answers), person));
      if (!person)
        throw new Error('nobody is there to ask: a person answers on the page of flow-grpo train --ui');
      return humanReward(person);
    },
  }),
} satisfies Record<string, RewardDefinition>;

export type RewardName = keyof typeof REWARDS;
