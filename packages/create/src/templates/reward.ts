/** A reward of your own for a model whose images are large. */
const IMPORT = "import * as tf from '@tensorflow/tfjs-core';";

export const rewardModule = `/** A reward of your own: one number per image, higher is better. This one likes warm light; change it. */
${IMPORT}

/** @param images [B, H, W, 3] in [0, 1], not to be disposed of; prompts are those they were drawn for */
export default async function warmth(images: tf.Tensor4D, prompts: string[]): Promise<number[]> {
  const colours = tf.tidy(() => tf.mean(images, [1, 2])); // [B, 3]
  const values = await colours.data();
  colours.dispose();
  return prompts.map((_, i) => values[3 * i]! - values[3 * i + 2]!); // red less blue
}
`;
