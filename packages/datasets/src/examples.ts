/** What a dataset gives for one prompt. `metadata` goes to the reward as it is. */
export interface PromptExample {
  prompt: string;
  metadata?: Record<string, unknown>;
}
