import { z } from 'zod';
import { checkVaeConfig, WAN21_VAE, type WanVaeConfig } from './config';

/** Upstream's field names (its spelling of `temperal` included); what is left out is as in Wan 2.1. */
const upstream = z.looseObject({
  dim: z.number().int().positive().default(WAN21_VAE.dim),
  z_dim: z.number().int().positive().default(WAN21_VAE.latentChannels),
  dim_mult: z
    .array(z.number().positive())
    .min(2)
    .default([...WAN21_VAE.multipliers]),
  num_res_blocks: z.number().int().positive().default(WAN21_VAE.residualBlocks),
  attn_scales: z.array(z.number()).default([]),
  temperal_downsample: z.array(z.boolean()).default([...WAN21_VAE.temporalDownsample]),
  latent_mean: z.array(z.number()).default([...WAN21_VAE.latentMean]),
  latent_std: z.array(z.number().positive()).default([...WAN21_VAE.latentStd]),
});

/**
 * Reads a VAE configuration in upstream's field names, as in a `config.json` beside the weights.
 *
 * @param source names the file in errors
 * @throws an Error listing every field that does not fit
 */
export function parseVaeConfig(json: unknown, source = 'the WanVAE configuration'): WanVaeConfig {
  const parsed = upstream.safeParse(json);
  if (!parsed.success) throw new Error(`${source}: ${z.prettifyError(parsed.error)}`);
  const fields = parsed.data;
  return checkVaeConfig({
    dim: fields.dim,
    latentChannels: fields.z_dim,
    multipliers: fields.dim_mult,
    residualBlocks: fields.num_res_blocks,
    attentionScales: fields.attn_scales,
    temporalDownsample: fields.temperal_downsample,
    latentMean: fields.latent_mean,
    latentStd: fields.latent_std,
  });
}

/** The configuration in upstream's field names, to be written beside the weights. */
export function vaeConfigJson(config: WanVaeConfig) {
  return {
    dim: config.dim,
    z_dim: config.latentChannels,
    dim_mult: [...config.multipliers],
    num_res_blocks: config.residualBlocks,
    attn_scales: [...config.attentionScales],
    temperal_downsample: [...config.temporalDownsample],
    latent_mean: [...config.latentMean],
    latent_std: [...config.latentStd],
  };
}
