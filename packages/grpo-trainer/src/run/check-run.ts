/** What must hold before a run starts, beyond what a configuration says of itself. */
import { ConfigError } from '../config/config-error';
import type { GrpoConfig } from '../config/schema';
import type { Placement } from '../placement';
import type { ProcessGroup } from '../process-group';
import type { EpochPlan } from '../rollout/epoch-plan';
import type { PromptSource, Scorer } from '../scorer';

/** In groups with fewer images of a prompt, comparing them says little. */
const SMALL_GROUP = 4;

export interface RunToCheck {
  readonly config: GrpoConfig;
  readonly plan: EpochPlan;
  readonly prompts: PromptSource;
  readonly scorer: Scorer;
  readonly placement: Placement;
  readonly group: ProcessGroup;
  /** Told what is allowed and unwise. */
  readonly onMessage: ((message: string) => void) | undefined;
}

/** @throws {ConfigError} when prompts, reward and processes do not fit the configuration */
export function checkRun({ config, plan, prompts, scorer, placement, group, onMessage }: RunToCheck): void {
  const { promptsPerEpoch, samplesPerPrompt } = config.sampling;
  if (prompts.length < promptsPerEpoch) {
    throw new ConfigError(
      `${prompts.length} prompts are fewer than sampling.promptsPerEpoch (${promptsPerEpoch}): give more prompts, or set sampling.promptsPerEpoch to at most ${prompts.length}`,
    );
  }
  if (scorer.wholeGroups && plan.groupInBatch < samplesPerPrompt) {
    throw new ConfigError(
      `sampling.batchSize (${plan.batchSize}) cuts groups of ${samplesPerPrompt} images, and the reward ${scorer.name} compares all images of a prompt: make it a multiple of ${samplesPerPrompt}, or leave it out`,
    );
  }
  const { numProcesses } = group;
  const { count: ownImages } = placement.ownRows(plan.batchSize);
  const ownGroup = Math.min(samplesPerPrompt, plan.groupInBatch);
  if (numProcesses > 1 && scorer.wholeGroups && ownImages % ownGroup !== 0) {
    throw new ConfigError(
      `sampling.batchSize (${plan.batchSize}) gives each of ${numProcesses} processes ${ownImages} images, and the reward ${scorer.name} compares all ${samplesPerPrompt} images of a prompt: make it a multiple of ${samplesPerPrompt * numProcesses}`,
    );
  }
  if (samplesPerPrompt < SMALL_GROUP) {
    onMessage?.(
      `sampling.samplesPerPrompt is ${samplesPerPrompt}: in groups of fewer than ${SMALL_GROUP} images, advantages are mostly chance; use 8 to 24 if you can`,
    );
  }
}
