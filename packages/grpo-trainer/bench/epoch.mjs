/**
 * Where an epoch's time goes: rollout, reward, update, host; with scoring overlapped and not; over 1, 2 and 4
 * devices (virtual ones on the CPU, so they share its cores). A Show-o2 with random weights of the size below.
 *
 *     npm run bench -w packages/grpo-trainer
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { showo2Policy, train } from '@flow-grpo/grpo-trainer';
import { initParams, parseShowo2Config } from '@flow-grpo/showo2-model';
import { configure } from '@flow-grpo/tfjs-backend-xla';
import * as tf from '@tensorflow/tfjs-core';

const WIDTH = 128;
const config = parseShowo2Config({
  hidden_size: WIDTH,
  image_latent_dim: 16,
  image_latent_height: 4,
  image_latent_width: 4,
  clip_latent_dim: WIDTH,
  num_diffusion_layers: 2,
  llm_vocab_size: 64,
  position_embedding_grid: [4, 4],
  max_text_len: 10,
  llm: {
    hidden_size: WIDTH,
    num_hidden_layers: 5,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    intermediate_size: 3 * WIDTH,
    rope_theta: 10_000,
  },
  siglip: {
    hidden_size: WIDTH,
    num_hidden_layers_used: 1,
    num_attention_heads: 4,
    intermediate_size: 2 * WIDTH,
  },
  diffusion_head: {
    hidden_size: WIDTH,
    intermediate_size: 3 * WIDTH,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: WIDTH / 4,
  },
  token_ids: {
    bos_id: 1,
    eos_id: 2,
    boi_id: 3,
    eoi_id: 4,
    bov_id: 5,
    eov_id: 6,
    img_pad_id: 7,
    vid_pad_id: 8,
    pad_id: 0,
  },
});

configure({ cpuDevices: 4 });
await tf.setBackend('xla');
const policy = showo2Policy({
  params: initParams(config, 1),
  config,
  tokenize: (prompt) => Array.from(prompt, (letter) => 9 + (letter.charCodeAt(0) % 50)),
  decode: (latents) => tf.clipByValue(tf.slice(latents, [0, 0, 0, 0], [-1, -1, -1, 3]), 0, 1),
  latentShape: [8, 8, 16],
  padTo: 10,
});
const prompts = ['red', 'blue', 'green', 'black', 'pink', 'white', 'brown', 'grey'].map((prompt) => ({
  prompt,
}));

/** Mean brightness, after a wait that stands for a reward model elsewhere. */
const scorer = (milliseconds) => ({
  name: 'brightness',
  async score(images) {
    const pixels = await images.data();
    await sleep(milliseconds);
    const size = pixels.length / images.shape[0];
    return {
      scores: Array.from(
        { length: images.shape[0] },
        (_, i) => pixels.subarray(i * size, (i + 1) * size).reduce((a, b) => a + b, 0) / size,
      ),
      details: {},
    };
  },
});

async function epochs({ devices = 1, overlap = true, wait = 0, batchSize = 32 }) {
  const seen = [];
  const result = await train({
    policy,
    prompts,
    scorer: scorer(wait),
    overlapRewards: overlap,
    config: {
      epochs: 5,
      devices,
      sampling: {
        numSteps: 12,
        promptsPerEpoch: 8,
        samplesPerPrompt: 16,
        batchSize,
        window: { start: 1, end: 5 },
      },
      training: { clipRange: 1e-3 },
    },
    onEpoch: (metrics) => void seen.push(metrics),
  });
  tf.dispose([result.trained, result.ema]);
  const warm = seen.slice(1); // the first epoch compiles
  const mean = (name) => warm.reduce((sum, metrics) => sum + metrics[name], 0) / warm.length;
  const [total, rollout, reward, update] = [
    'seconds',
    'secondsRollout',
    'secondsReward',
    'secondsUpdate',
  ].map(mean);
  return {
    total,
    rollout,
    reward,
    update,
    host: total - rollout - reward - update,
    rate: mean('samplesPerSecond'),
  };
}

const row = (name, { total, rollout, reward, update, host, rate }) =>
  console.log(
    `${name.padEnd(34)} ${[total, rollout, reward, update, host].map((s) => s.toFixed(3).padStart(8)).join('')} ${rate.toFixed(0).padStart(9)}`,
  );
console.log(
  `${'128 images, 12 steps, 4 trained'.padEnd(34)}    total dispatch   await  update    host  images/s`,
);
row('one batch', await epochs({ batchSize: 128 }));
row('four batches', await epochs({}));
row('four, reward 0.2 s, overlapped', await epochs({ wait: 200 }));
row('four, reward 0.2 s, one by one', await epochs({ wait: 200, overlap: false }));
for (const devices of [2, 4]) row(`one batch, ${devices} devices`, await epochs({ devices, batchSize: 128 }));
