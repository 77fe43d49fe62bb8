/** Pre-training: flow matching and a small autoencoder, under one resumable loop. */
export { type FitCheckpoint, type FitOptions, type FitReport, type FitResult, fit } from './fit';
export { type FlowBatch, type FlowMatchingOptions, pretrain } from './flow-matching';
export { trainVae, type VaeFunctions, type VaeOptions } from './vae';
