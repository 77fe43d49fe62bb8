/** What the run is rewarded for. */
import { jpegCompressibility, makeReward, ocr, type Scorer, shapeEval } from '@flow-grpo/rewards';
import type { QuickstartOptions } from './options';

/** What `--reward ocr` wants to be read: the letter that is easiest to draw with a circle. */
const LETTER = 'o';

/** @throws naming the reward's option or checkpoint that is missing. */
export async function trainingReward({
  reward,
  rewardOption,
}: Pick<QuickstartOptions, 'reward' | 'rewardOption'>): Promise<Scorer> {
  const options = Object.keys(rewardOption);
  const own = (make: () => Scorer) => {
    if (options.length > 0) throw new Error(`--reward ${reward} takes no options, got ${options.join(', ')}`);
    return make();
  };
  switch (reward) {
    case 'shapes':
      return own(() => shapeEval());
    case 'strict':
      return own(() => shapeEval({ strictWeight: 1 }));
    case 'jpeg':
      return own(() => jpegCompressibility());
    case 'ocr':
      return own(() => quoting(ocr(), LETTER));
    default:
      return makeReward(reward, rewardOption);
  }
}

/** The scorer, told that every prompt also asks for `text`: prompts of scenes quote nothing themselves. */
function quoting(scorer: Scorer, text: string): Scorer {
  return {
    name: scorer.name,
    score: (images, prompts, metadata, options) =>
      scorer.score(
        images,
        prompts.map((prompt) => `${prompt}, "${text}"`),
        metadata,
        options,
      ),
  };
}
