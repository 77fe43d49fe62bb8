/** What the weights of ImageReward's BLIP do not tell. */
export interface BlipConfig {
  vision: { imageSize: number; heads: number; eps: number };
  text: { heads: number; eps: number };
  /** Mean and deviation of the raw score over the training set. */
  mean: number;
  std: number;
}

/** ImageReward-v1.0: ViT-L/16 at 224 pixels and BERT-base. */
export const IMAGE_REWARD: BlipConfig = {
  vision: { imageSize: 224, heads: 16, eps: 1e-6 },
  text: { heads: 12, eps: 1e-12 },
  mean: 0.16717362830052426,
  std: 1.0333394966054072,
};
