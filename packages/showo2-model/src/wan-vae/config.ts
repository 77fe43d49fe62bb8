/** Sizes of a WanVAE (upstream: wan/modules/vae.py, class WanVAE_). */
export interface WanVaeConfig {
  /** Channels of the widest plane; each level has `dim · multiplier`. */
  dim: number;
  /** Latent channels. */
  latentChannels: number;
  /** One multiplier a level, finest first; every level but the last halves height and width. */
  multipliers: readonly number[];
  residualBlocks: number;
  /** Scales (1, 1/2, 1/4, …) after whose residual blocks single-head attention stands. */
  attentionScales: readonly number[];
  /** For each halving of the encoder, whether it halves time as well. The decoder mirrors it. */
  temporalDownsample: readonly boolean[];
  /** Mean and standard deviation of each latent channel, by which latents are normalised. */
  latentMean: readonly number[];
  latentStd: readonly number[];
}

/** Wan 2.1's VAE, as Show-o2 uses it: 8× in space, 4× in time, 16 channels. */
export const WAN21_VAE: WanVaeConfig = {
  dim: 96,
  latentChannels: 16,
  multipliers: [1, 2, 4, 4],
  residualBlocks: 2,
  attentionScales: [],
  temporalDownsample: [false, true, true],
  latentMean: [
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
    -0.1922, -0.9497, 0.2503, -0.2921,
  ],
  latentStd: [
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
    1.1253, 2.8251, 1.916,
  ],
};

/** Pixels along a side of the image for one latent pixel. */
export function spatialFactor(config: WanVaeConfig): number {
  return 2 ** (config.multipliers.length - 1);
}

/** Frames for one latent frame after the first. */
export function temporalFactor(config: WanVaeConfig): number {
  return 2 ** config.temporalDownsample.filter(Boolean).length;
}

/** Throws, naming the field, when the sizes contradict one another. */
export function checkVaeConfig(config: WanVaeConfig): WanVaeConfig {
  const halvings = config.multipliers.length - 1;
  if (config.temporalDownsample.length !== halvings) {
    throw new Error(
      `WanVAE config: temporalDownsample has ${config.temporalDownsample.length} entries; ` +
        `${config.multipliers.length} multipliers make ${halvings} halvings`,
    );
  }
  for (const field of ['latentMean', 'latentStd'] as const) {
    if (config[field].length !== config.latentChannels) {
      throw new Error(
        `WanVAE config: ${field} has ${config[field].length} entries for ${config.latentChannels} latent channels`,
      );
    }
  }
  return config;
}
