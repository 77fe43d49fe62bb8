/** The chain of modules of an encoder or decoder, under diffusers' names: what runs, and what parameters there are. */
import type { ParameterSpec, ParameterStart } from '@flow-grpo/nn';
import type { AutoencoderConfig } from './config';

export type Stage =
  | { readonly kind: 'residual'; readonly name: string; readonly inputs: number; readonly outputs: number }
  | {
      readonly kind: 'attention' | 'downsample' | 'upsample';
      readonly name: string;
      readonly channels: number;
    }
  /** The end of a block, for inspection. */
  | { readonly kind: 'block'; readonly name: string };

export interface CoderPlan {
  readonly name: 'encoder' | 'decoder';
  readonly inputs: number;
  /** Channels after the first convolution and before the last. */
  readonly first: number;
  readonly last: number;
  readonly outputs: number;
  readonly stages: readonly Stage[];
}

/** The encoder: levels from fine to coarse, then the middle. */
export function encoderPlan(config: AutoencoderConfig): CoderPlan {
  const { channels, layersPerBlock, latentChannels } = config;
  const levels = channels.map((outputs, level) => ({ inputs: channels[Math.max(level - 1, 0)]!, outputs }));
  const stages = levels.flatMap(({ inputs, outputs }, level) =>
    block(
      `encoder.down_blocks.${level}`,
      inputs,
      outputs,
      layersPerBlock,
      level < channels.length - 1 && 'downsample',
    ),
  );
  const last = channels.at(-1)!;
  return {
    name: 'encoder',
    inputs: 3,
    first: channels[0]!,
    last,
    outputs: 2 * latentChannels,
    stages: [...stages, ...middle('encoder', last, config)],
  };
}

/** The decoder: the middle, then levels from coarse to fine. */
export function decoderPlan(config: AutoencoderConfig): CoderPlan {
  const channels = [...config.channels].reverse();
  const stages = channels.flatMap((outputs, level) =>
    block(
      `decoder.up_blocks.${level}`,
      channels[Math.max(level - 1, 0)]!,
      outputs,
      config.layersPerBlock + 1,
      level < channels.length - 1 && 'upsample',
    ),
  );
  const first = channels[0]!;
  return {
    name: 'decoder',
    inputs: config.latentChannels,
    first,
    last: channels.at(-1)!,
    outputs: 3,
    stages: [...middle('decoder', first, config), ...stages],
  };
}

function block(
  name: string,
  inputs: number,
  outputs: number,
  count: number,
  resample: 'downsample' | 'upsample' | false,
): Stage[] {
  return [
    ...Array.from(
      { length: count },
      (_, i): Stage => ({
        kind: 'residual',
        name: `${name}.resnets.${i}`,
        inputs: i === 0 ? inputs : outputs,
        outputs,
      }),
    ),
    ...(resample ? [{ kind: resample, name: `${name}.${resample}rs.0`, channels: outputs }] : []),
    { kind: 'block', name },
  ];
}

function middle(coder: string, channels: number, { middleAttention }: AutoencoderConfig): Stage[] {
  const name = `${coder}.mid_block`;
  const residual = (i: number): Stage => ({
    kind: 'residual',
    name: `${name}.resnets.${i}`,
    inputs: channels,
    outputs: channels,
  });
  const attention: Stage[] = middleAttention
    ? [{ kind: 'attention', name: `${name}.attentions.0`, channels }]
    : [];
  return [residual(0), ...attention, residual(1), { kind: 'block', name }];
}

/** Every parameter: diffusers' name, its shape, and how PyTorch starts it. */
export function autoencoderSpecs(config: AutoencoderConfig): Record<string, ParameterSpec> {
  const specs: Record<string, ParameterSpec> = {};
  const weights = (name: string, shape: number[]) => {
    const start: ParameterStart = { uniform: 1 / Math.sqrt(shape.slice(1).reduce((a, b) => a * b, 1)) };
    specs[`${name}.weight`] = { shape, start };
    specs[`${name}.bias`] = { shape: [shape[0]!], start };
  };
  const norm = (name: string, width: number) => {
    specs[`${name}.weight`] = { shape: [width], start: { constant: 1 } };
    specs[`${name}.bias`] = { shape: [width], start: { constant: 0 } };
  };
  const conv = (name: string, out: number, into: number, kernel = 3) =>
    weights(name, [out, into, kernel, kernel]);
  for (const plan of [encoderPlan(config), decoderPlan(config)]) {
    conv(`${plan.name}.conv_in`, plan.first, plan.inputs);
    for (const stage of plan.stages) {
      const { name } = stage;
      if (stage.kind === 'residual') {
        norm(`${name}.norm1`, stage.inputs);
        conv(`${name}.conv1`, stage.outputs, stage.inputs);
        norm(`${name}.norm2`, stage.outputs);
        conv(`${name}.conv2`, stage.outputs, stage.outputs);
        if (stage.inputs !== stage.outputs) conv(`${name}.conv_shortcut`, stage.outputs, stage.inputs, 1);
      } else if (stage.kind === 'attention') {
        norm(`${name}.group_norm`, stage.channels);
        for (const part of ['to_q', 'to_k', 'to_v', 'to_out.0']) {
          weights(`${name}.${part}`, [stage.channels, stage.channels]);
        }
      } else if (stage.kind !== 'block') {
        conv(`${name}.conv`, stage.channels, stage.channels);
      }
    }
    norm(`${plan.name}.conv_norm_out`, plan.last);
    conv(`${plan.name}.conv_out`, plan.outputs, plan.last);
  }
  const { latentChannels: z } = config;
  if (config.quantConv) conv('quant_conv', 2 * z, 2 * z, 1);
  if (config.postQuantConv) conv('post_quant_conv', z, z, 1);
  return specs;
}
