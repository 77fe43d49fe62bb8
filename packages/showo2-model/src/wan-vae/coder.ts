import { type Observe, type Params, silu } from '@flow-grpo/nn';
import type * as tf from '@tensorflow/tfjs-core';
import { attentionBlock, channelNorm, residualBlock } from './blocks';
import { causalConv, type History } from './convolution';
import type { CoderPlan, Stage } from './plan';
import { downsample, upsample } from './resample';

/** Runs an encoder or decoder over frames [B, T, H, W, C], or over the next piece of a video. */
export function runCoder(
  params: Params,
  plan: CoderPlan,
  x: tf.Tensor5D,
  history?: History,
  observe?: Observe,
): tf.Tensor5D {
  const seen = (name: string, value: tf.Tensor5D) => {
    observe?.(name, value);
    return value;
  };
  const first = `${plan.name}.conv1`;
  let h = seen(first, causalConv(params, first, x, history));
  for (const stage of plan.stages) h = seen(stage.name, runStage(params, stage, h, history));
  const activated = silu(channelNorm(params, `${plan.name}.head.0`, h)) as tf.Tensor5D;
  return seen(plan.name, causalConv(params, `${plan.name}.head.2`, activated, history));
}

function runStage(params: Params, stage: Stage, x: tf.Tensor5D, history?: History): tf.Tensor5D {
  switch (stage.kind) {
    case 'residual':
      return residualBlock(params, stage.name, x, history);
    case 'attention':
      return attentionBlock(params, stage.name, x);
    case 'downsample':
      return downsample(params, stage.name, x, stage.temporal, history);
    case 'upsample':
      return upsample(params, stage.name, x, stage.temporal, history);
  }
}
