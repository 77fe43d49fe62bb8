/** The command line of the pre-training. */
import { GENEVAL_TAGS, type GenevalTag } from '@flow-grpo/datasets';
import { Command } from 'commander';
import { ASSETS } from '../small-model';

export interface PretrainOptions {
  out: string;
  work: string;
  vaeSteps: number;
  vaeBatch: number;
  flowSteps: number;
  flowBatch: number;
  scenes: number;
  kinds: GenevalTag[];
  seed: number;
}

export function readPretrainOptions(args: readonly string[]): PretrainOptions {
  return new Command('pretrain')
    .description('Pre-trains the small VAE and the small Show-o2 on shape scenes')
    .option('--out <folder>', 'where the model goes', ASSETS)
    .option('--work <folder>', 'where unfinished parts are kept', 'runs/pretrain')
    .option('--vae-steps <n>', 'steps of the VAE', Number, 6000)
    .option('--vae-batch <n>', 'images a step of the VAE', Number, 64)
    .option('--flow-steps <n>', 'steps of Show-o2', Number, 27_000)
    .option('--flow-batch <n>', 'images a step of Show-o2', Number, 512)
    .option('--scenes <n>', 'scenes that Show-o2 learns from', Number, 100_000)
    .option('--kinds <names>', 'kinds of scenes that Show-o2 learns, with commas between', list, [
      ...GENEVAL_TAGS,
    ])
    .option('--seed <n>', 'everything random is a function of it', Number, 0)
    .parse([...args], { from: 'user' })
    .opts<PretrainOptions>();
}

function list(value: string): string[] {
  return value.split(',').map((name) => name.trim());
}
