/** The algorithms by name. */
import { awm } from './awm';
import { crd } from './crd';
import { dgpo } from './dgpo';
import { dpo } from './dpo';
import { flowDppo } from './flow-dppo';
import { grpo } from './grpo';
import { guard } from './guard';
import { nft } from './nft';
import { rwr } from './rwr';
import { sft } from './sft';

export const algorithms = {
  grpo,
  guard,
  'flow-dppo': flowDppo,
  nft,
  awm,
  dgpo,
  crd,
  dpo,
  sft,
  rwr,
} as const;

export type AlgorithmName = keyof typeof algorithms;
