/** The parts of a GenEval server's answer beside its scores. Groups hold −10 for images of another kind. */
export interface GenevalExtra {
  rewards: number[];
  strict_rewards: number[];
  group_rewards: Record<string, number[]>;
  group_strict_rewards: Record<string, number[]>;
}

/** GenEval's mark for an image of another task kind. */
export const NOT_OF_KIND = -10;

/** The answer's parts under the names flow_grpo logs them by, in its order. */
export function genevalDetails(extra: GenevalExtra): Record<string, number[]> {
  return Object.fromEntries([
    ['accuracy', extra.rewards],
    ['strict_accuracy', extra.strict_rewards],
    ...Object.entries(extra.group_strict_rewards).map(([key, values]) => [`${key}_strict_accuracy`, values]),
    ...Object.entries(extra.group_rewards).map(([key, values]) => [`${key}_accuracy`, values]),
  ]);
}
