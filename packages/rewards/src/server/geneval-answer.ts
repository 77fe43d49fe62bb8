import { GENEVAL_TAGS } from '@flow-grpo/datasets';
import { NOT_OF_KIND } from '../remote/geneval-details';
import { pickle } from '../remote/pickle';
import type { Scores } from '../scorer';
import type { Batch } from './requests';

/**
 * The answer to a pickle: `outputs`, and where the request has metadata the parts of GenEval's server:
 * `scores`, `rewards`, `strict_rewards`, and both by task kind, with -10 for images of another kind. Rewards
 * are the scorer's details `accuracy` and `strict_accuracy`, else `strict`, else the score; to a request with
 * `only_strict` they are all strict.
 */
export function answerPickle({ scores, details }: Scores, batch: Batch): Uint8Array {
  if (!batch.hasMetadata) return pickle({ outputs: scores });
  const strict = details.strict_accuracy ?? details.strict ?? scores;
  const rewards = batch.onlyStrict ? strict : (details.accuracy ?? details.strict ?? scores);
  const tags = batch.metadata.map(({ tag }) => tag);
  const kinds = [...new Set([...GENEVAL_TAGS, ...tags.filter((tag) => typeof tag === 'string')])];
  const byKind = (values: number[]) =>
    Object.fromEntries(
      kinds.map((kind) => [kind, values.map((value, i) => (tags[i] === kind ? value : NOT_OF_KIND))]),
    );
  return pickle({
    outputs: scores,
    scores,
    rewards,
    strict_rewards: strict,
    group_rewards: byKind(rewards),
    group_strict_rewards: byKind(strict),
  });
}
