/** The algorithms by name. */
import { dpo } from './dpo';
import { grpo } from './grpo';
import { guard } from './guard';
import { rwr } from './rwr';
import { sft } from './sft';

export const algorithms = { grpo, guard, dpo, sft, rwr } as const;

export type AlgorithmName = keyof typeof algorithms;
