/** What a new project is asked. */

/** What is trained: each kind with what it stands for. */
export const SETUPS = {
  toy: 'points in the plane; no model needed, trains in seconds',
  module: 'your own model: a TypeScript file with policy, prompts and reward',
  showo2: 'Show-o2 from its published checkpoints; needs a GPU',
  'z-image': 'adapters on Z-Image-Turbo; needs a GPU',
} as const;

export type SetupKind = keyof typeof SETUPS;

export interface Choices {
  readonly setup: SetupKind;
  /** A reward of @flow-grpo/rewards by name, or the path of a module; of showo2 and z-image. */
  readonly reward?: string | undefined;
  /** A file with one prompt per line; of all but the toy. */
  readonly prompts?: string | undefined;
}

/** What in choices does not fit together; undefined where all does. */
export function choiceProblem({ setup, reward, prompts }: Choices): string | undefined {
  const kinds = Object.keys(SETUPS);
  if (!kinds.includes(setup)) return `--setup ${setup}: give ${kinds.join(', ')}`;
  if (setup === 'toy' && (reward !== undefined || prompts !== undefined)) {
    return `--setup toy has a reward and prompts of its own; leave ${reward === undefined ? '--prompts' : '--reward'} out, or choose another setup`;
  }
  if (setup === 'module' && reward !== undefined) {
    return '--reward: the reward of a module is the function in policy.ts; leave it out, and change that function';
  }
  if (setup === 'module' && prompts !== undefined && !prompts.endsWith('.txt')) {
    return `--prompts ${prompts}: policy.ts reads one prompt per line of a text file; give a name such as prompts.txt`;
  }
  if (prompts?.trim() === '') return '--prompts: give a file, such as prompts.txt';
  if (reward !== undefined && !isModule(reward) && !/^\w+$/.test(reward)) {
    return `--reward ${reward}: give the name of a reward, such as pickscore, or a path such as ./reward.ts`;
  }
  return undefined;
}

/** Whether a kind is a model from checkpoints, whose reward and prompts are chosen. */
export const isModel = (setup: SetupKind): boolean => setup === 'showo2' || setup === 'z-image';

/** Whether a reward is the path of a module. */
export const isModule = (reward: string): boolean => /^\.{0,2}[\\/]|\.[cm]?[jt]s$/.test(reward);
