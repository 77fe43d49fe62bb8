import { drawParams, type Params } from '@flow-grpo/nn';
import { type AutoencoderConfig, autoencoderSpecs } from './autoencoder';
import { type TextEncoderConfig, textEncoderSpecs } from './text-encoder';
import { type TransformerConfig, transformerSpecs } from './transformer';

/** A new transformer's parameters, under diffusers' names. A function of the seed alone. */
export const initTransformer = (config: TransformerConfig, seed: number): Params =>
  drawParams(transformerSpecs(config), seed);

/** A new text encoder's, under transformers' names. */
export const initTextEncoder = (config: TextEncoderConfig, seed: number): Params =>
  drawParams(textEncoderSpecs(config), seed);

/** A new autoencoder's, under diffusers' names. */
export const initAutoencoder = (config: AutoencoderConfig, seed: number): Params =>
  drawParams(autoencoderSpecs(config), seed);
