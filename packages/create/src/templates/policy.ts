/** The smallest model of your own that learns something to look at. */

const imports = (prompts?: string): string =>
  [
    "import { defineSetup } from 'flow-grpo';",
    "import * as tf from '@tensorflow/tfjs-core';",
    ...(prompts === undefined
      ? []
      : ["import { readFileSync } from 'node:fs';", "import { resolve } from 'node:path';"]),
  ].join('\n');

export const policyModule = (
  prompts?: string,
): string => `/** A model of your own: it paints mosaics, and learns the colour that each prompt asks for. */
${imports(prompts)}

const COLOURS: Record<string, number[]> = {
  red: [1, 0, 0], green: [0, 1, 0], blue: [0, 0, 1], yellow: [1, 1, 0],
  cyan: [0, 1, 1], magenta: [1, 0, 1], white: [1, 1, 1], black: [0, 0, 0],
};
const prompts = ${
  prompts === undefined
    ? 'Object.keys(COLOURS)'
    : `readFileSync(resolve(import.meta.dirname, ${JSON.stringify(prompts)}), 'utf8').trim().split(/\\s*\\n\\s*/)`
};
const SPREAD = 0.1; // standard deviation of the images around their prompt's mean

export default defineSetup(() => ({
  policy: {
    params: { means: tf.fill([prompts.length, 4, 4, 3], 0.5) }, // all weights by name
    trainable: ['means'],
    latentShape: [4, 4, 3],
    encodePrompts: (asked) => tf.tensor1d(asked.map((prompt) => prompts.indexOf(prompt)), 'int32'),
    // dx/dt from noise (t = 0) to an image (t = 1): exact for images around the means. Put your network here.
    velocity: ({ trained, condition, x, t, rows }) => {
      const mean = tf.gather(trained.means!, tf.gather(condition as tf.Tensor1D, rows));
      const [time, rest] = [tf.reshape(t, [-1, 1, 1, 1]), tf.reshape(tf.sub(1, t), [-1, 1, 1, 1])];
      const spread = tf.add(tf.square(rest), tf.mul(SPREAD ** 2, tf.square(time)));
      const slope = tf.div(tf.sub(tf.mul(SPREAD ** 2, time), rest), spread);
      return { velocity: tf.add(mean, tf.mul(slope, tf.sub(x, tf.mul(time, mean)))) };
    },
    decode: (latents) => tf.image.resizeNearestNeighbor(tf.clipByValue(latents, 0, 1) as tf.Tensor4D, [64, 64]),
  },
  prompts: prompts.map((prompt) => ({ prompt })),
  evalPrompts: prompts.map((prompt) => ({ prompt })),
  // The reward: one number per image of [B, H, W, 3], higher is better. Here: how close its colour is to the one asked for.
  scorer: async (images, asked) => {
    const wanted = tf.tensor2d(asked.map((prompt) => COLOURS[prompt] ?? [0.5, 0.5, 0.5]));
    const distance = tf.tidy(() => tf.mean(tf.abs(tf.sub(tf.mean(images, [1, 2]), wanted)), 1));
    const values = await distance.data();
    tf.dispose([wanted, distance]);
    return Array.from(values, (value) => 1 - value);
  },
}));
`;
