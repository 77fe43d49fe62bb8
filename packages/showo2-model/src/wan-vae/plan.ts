import type { WanVaeConfig } from './config';

/** One module of an encoder's or decoder's chain. */
export type Stage =
  | { kind: 'residual'; name: string; inputs: number; outputs: number }
  | { kind: 'attention'; name: string; channels: number }
  | { kind: 'downsample' | 'upsample'; name: string; channels: number; temporal: boolean };

/** The chain between a coder's first convolution and its head, in order, under upstream's names. */
export interface CoderPlan {
  name: 'encoder' | 'decoder';
  /** Channels after the first convolution, and before the head. */
  first: number;
  last: number;
  stages: Stage[];
}

/** The encoder: levels from fine to coarse, then the middle. */
export function encoderPlan(config: WanVaeConfig): CoderPlan {
  const widths = [1, ...config.multipliers].map((multiplier) => multiplier * config.dim);
  const chain = new Chain('encoder', 'downsamples');
  let channels = widths[0]!;
  let scale = 1;
  config.multipliers.forEach((_, level) => {
    for (let block = 0; block < config.residualBlocks; block++) {
      channels = chain.residual(channels, widths[level + 1]!);
      if (config.attentionScales.includes(scale)) chain.attention(channels);
    }
    if (level < config.multipliers.length - 1) {
      chain.resample('downsample', channels, config.temporalDownsample[level]!);
      scale /= 2;
    }
  });
  return {
    name: 'encoder',
    first: widths[0]!,
    last: channels,
    stages: [...chain.stages, ...middle('encoder', channels)],
  };
}

/** The decoder: the middle, then levels from coarse to fine. */
export function decoderPlan(config: WanVaeConfig): CoderPlan {
  const coarseToFine = [...config.multipliers].reverse();
  const widths = [coarseToFine[0]!, ...coarseToFine].map((multiplier) => multiplier * config.dim);
  const temporal = [...config.temporalDownsample].reverse();
  const chain = new Chain('decoder', 'upsamples');
  let channels = widths[0]!;
  let scale = 1 / 2 ** (config.multipliers.length - 2);
  coarseToFine.forEach((_, level) => {
    for (let block = 0; block <= config.residualBlocks; block++) {
      channels = chain.residual(channels, widths[level + 1]!);
      if (config.attentionScales.includes(scale)) chain.attention(channels);
    }
    if (level < coarseToFine.length - 1) {
      chain.resample('upsample', channels, temporal[level]!);
      channels /= 2; // the convolution after the enlargement halves them
      scale *= 2;
    }
  });
  return {
    name: 'decoder',
    first: widths[0]!,
    last: channels,
    stages: [...middle('decoder', widths[0]!), ...chain.stages],
  };
}

function middle(coder: string, channels: number): Stage[] {
  return [
    { kind: 'residual', name: `${coder}.middle.0`, inputs: channels, outputs: channels },
    { kind: 'attention', name: `${coder}.middle.1`, channels },
    { kind: 'residual', name: `${coder}.middle.2`, inputs: channels, outputs: channels },
  ];
}

/** Numbers modules the way upstream's sequential container does. */
class Chain {
  readonly stages: Stage[] = [];
  constructor(
    private readonly coder: string,
    private readonly list: string,
  ) {}
  private get name() {
    return `${this.coder}.${this.list}.${this.stages.length}`;
  }
  residual(inputs: number, outputs: number): number {
    this.stages.push({ kind: 'residual', name: this.name, inputs, outputs });
    return outputs;
  }
  attention(channels: number) {
    this.stages.push({ kind: 'attention', name: this.name, channels });
  }
  resample(kind: 'downsample' | 'upsample', channels: number, temporal: boolean) {
    this.stages.push({ kind, name: this.name, channels, temporal });
  }
}
