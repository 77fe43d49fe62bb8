/** Run files to start from, with a comment on each option that matters. */
import type { Choices } from '../choices';

export function runFile(choices: Choices, schema: string): string {
  const body = { toy, module: ownModule, showo2, 'z-image': zImage }[choices.setup](choices);
  return `# yaml-language-server: $schema=${schema}
# Train: npx flow-grpo train run.yaml. All options, with their defaults: npx flow-grpo train --help
${body}`;
}

const shared = (output: string, epochs: number, every: number) => `
output: ${output} # metrics, images, checkpoints and report.html; the same command again resumes from here
seed: 42
epochs: ${epochs}
saveEvery: ${every} # epochs between checkpoints
evalEvery: ${every} # epochs between evaluations, whose images have the same noise each time
`;

const toy = () => `${shared('runs/toy', 60, 20)}
setup: toy # eight prompts, each a place in the plane

sampling:
  promptsPerEpoch: 8 # different prompts per epoch
  samplesPerPrompt: 16 # the group: samples of one prompt are compared with one another
  noiseLevel: 0.7 # how far samples of a group differ; too little explores nothing, too much draws noise

training:
  learningRate: 0.02 # the setting most likely to ruin a run; models want 1e-6 … 1e-4
`;

const ownModule = () => `${shared('runs/first', 60, 20)}
setup: ./policy.ts # your model, prompts and reward; relative to this file

sampling:
  numSteps: 12 # denoising steps of a rollout; the first and the last have no noise
  promptsPerEpoch: 8 # different prompts per epoch
  samplesPerPrompt: 16 # the group: images of one prompt are compared with one another
  noiseLevel: 0.7 # how far images of a group differ; too little explores nothing, too much draws noise
  # batchSize: 32 # images per rollout call; lower it when memory runs out

training:
  updatesPerEpoch: 2 # optimizer steps on the images of an epoch
  learningRate: 0.02 # the setting most likely to ruin a run; large models want 1e-6 … 1e-4
  # batchSize: 16 # images per gradient pass; lower it when memory runs out

grpo:
  clipRange: 1e-3 # how far one update may move the policy
  beta: 0 # weight of the KL divergence from the start; 0.01 … 0.04 keeps a model close to it

hacking:
  tolerance: 10 # warns if images drift while the reward rises; these mosaics should, so set 1 (the default) for your model
`;

const showo2 = ({
  reward = 'pickscore',
  prompts = 'prompts.txt',
}: Choices) => `${shared(yamlText(`runs/${runName(reward)}`), 200, 20)}devices: 1 # GPUs; every number of images below must be divisible by it

setup:
  kind: showo2
  model: showlab/show-o2-1.5B # a folder or a hub id, like the next two
  tokenizer: Qwen/Qwen2.5-1.5B-Instruct
  vae: Wan-AI/Wan2.1-T2V-1.3B
  guidanceScale: 4.5 # classifier-free guidance; 0 is none
  dataset: ${yamlText(prompts)} # one prompt per line
  evalDataset: ${yamlText(prompts)} # prompts for evaluations; ideally not those that train
  evalPrompts: 8 # how many of them, from the first
  reward:
    ${yamlText(reward)}: 1 # its weight; several rewards are summed

sampling:
  numSteps: 12 # denoising steps of a rollout; the first and the last have no noise
  evalNumSteps: 42
  promptsPerEpoch: 8 # different prompts per epoch
  samplesPerPrompt: 16 # the group: images of one prompt are compared with one another
  batchSize: 8 # images per rollout call; lower it when memory runs out
  noiseLevel: 0.3 # how far images of a group differ; 0.1 … 0.5

training:
  updatesPerEpoch: 2 # optimizer steps on the images of an epoch
  batchSize: 8 # images per gradient pass; lower it when memory runs out
  stepsPerPass: 2 # of their noisy steps at once
  learningRate: 5e-6 # the setting most likely to ruin a run; 5e-5 destroys this model

grpo:
  clipRange: 1e-3 # how far one update may move the policy
  beta: 0.01 # weight of the KL divergence from the start: keeps the model close to it
`;

const zImage = ({
  reward = 'pickscore',
  prompts = 'prompts.txt',
}: Choices) => `${shared(yamlText(`runs/${runName(reward)}`), 200, 20)}devices: 1 # GPUs; every number of images below must be divisible by it
evalBatchSize: 4

setup:
  kind: z-image
  model: Tongyi-MAI/Z-Image-Turbo # a folder or a hub id
  size: [512, 512]
  guidanceScale: 0 # Turbo draws without guidance
  train: { lora: { rank: 32, alpha: 64 } } # low-rank adapters; the model's own weights do not change
  dataset: ${yamlText(prompts)} # one prompt per line
  evalDataset: ${yamlText(prompts)} # prompts for evaluations; ideally not those that train
  evalPrompts: 8 # how many of them, from the first
  reward:
    ${yamlText(reward)}: 1 # its weight; several rewards are summed

sampling:
  numSteps: 8 # denoising steps; Turbo is made for 8
  shift: 3 # Turbo's; the base model uses 6
  promptsPerEpoch: 8 # different prompts per epoch
  samplesPerPrompt: 8 # the group: images of one prompt are compared with one another
  batchSize: 4 # images per rollout call; lower it when memory runs out

training:
  updatesPerEpoch: 2 # optimizer steps on the images of an epoch
  batchSize: 4 # images per gradient pass; lower it when memory runs out
  learningRate: 1e-4 # the setting most likely to ruin a run; adapters tolerate 1e-4

algorithm: nft # trains on the final images alone, so rollouts need no noise
nft:
  timesPerImage: 4
`;

/** A text as YAML writes it: quoted where it would be read as something else. */
function yamlText(text: string): string {
  const plain = /^[\p{L}_./][\p{L}\p{N}_./ -]*$/u.test(text) && text === text.trim();
  return plain && !/^(null|true|false|yes|no|on|off)$/i.test(text) ? text : JSON.stringify(text);
}

/** A folder's name from a reward's: `./my-reward.ts` is my-reward. */
const runName = (reward: string) => reward.replace(/^.*[\\/]/, '').replace(/\.[^.]+$/, '');
