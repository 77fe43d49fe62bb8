/** The options that every algorithm has in common, with their defaults. flow_grpo's name stands in each description. */
import { z } from 'zod';

const count = z.int().min(1);
/** Far beyond any model's, and few enough to be planned before anything runs. */
const steps = count.max(10_000);
const images = count.max(2 ** 20);
const fraction = z.number().min(0).max(1);

const window = z
  .strictObject({
    kind: z
      .enum(['fixed', 'random', 'sliding'])
      .default('fixed')
      .describe('fixed: the same steps in every epoch; random: Flow-GRPO-Fast; sliding: MixGRPO'),
    start: z.int().min(0).default(1).describe('First stochastic step (sample.sde_window_range[0])'),
    end: count
      .optional()
      .describe(
        'The step after the last stochastic one; numSteps − 1 by default (sample.sde_window_range[1])',
      ),
    size: count
      .optional()
      .describe('Stochastic steps per epoch, for random and sliding (sample.sde_window_size)'),
    interval: count
      .default(25)
      .describe('Epochs between moves of a sliding window (MixGRPO: iters_per_group)'),
    stride: count.default(1).describe('Steps a sliding window moves by'),
  })
  .prefault({});

const sampling = z
  .strictObject({
    numSteps: steps.default(12).describe('Denoising steps of a rollout (sample.num_steps)'),
    evalNumSteps: steps
      .optional()
      .describe('Denoising steps of an evaluation; numSteps by default (sample.eval_num_steps)'),
    shift: z
      .number()
      .positive()
      .default(3)
      .describe('Time shift s of the grid t / (t + s − s·t) (scheduler shift)'),
    noiseLevel: z
      .number()
      .min(0)
      .default(0.7)
      .describe('Noise of stochastic steps; 0 is the ODE (sample.noise_level)'),
    rule: z.enum(['sde', 'cps']).default('sde').describe('Rule of stochastic steps (sample.sde_type)'),
    promptsPerEpoch: images
      .default(8)
      .describe(
        'Distinct prompts per epoch (num_batches_per_epoch · train_batch_size · GPUs / num_image_per_prompt)',
      ),
    samplesPerPrompt: images
      .default(16)
      .describe('Images per prompt: the group size (sample.num_image_per_prompt)'),
    batchSize: count
      .optional()
      .describe('Images per rollout call; the whole epoch by default (sample.train_batch_size)'),
    sameLatent: z
      .boolean()
      .default(false)
      .describe('All images of a prompt start from the same noise (sample.same_latent)'),
    window,
  })
  .prefault({});

const prompts = z
  .strictObject({
    skipWithoutVariance: z
      .boolean()
      .default(false)
      .describe(
        "Replace prompts whose images all get the same score, like DAPO's dynamic sampling (filter_groups.enable)",
      ),
    maxRedraws: count
      .default(3)
      .describe(
        'Additional rollouts of a whole epoch that this may take; prompts not replaced by then stay (filter_groups.max_num_gen_batches)',
      ),
    harderMoreOften: z
      .number()
      .min(0)
      .max(3)
      .default(0)
      .describe(
        'How much more often prompts with low rewards are drawn: e^this times per standard deviation below the mean of all prompts seen; 0 draws all equally often',
      ),
  })
  .prefault({});

const training = z
  .strictObject({
    updatesPerEpoch: count
      .default(2)
      .describe('Optimizer steps per inner epoch (num_batches_per_epoch / gradient_accumulation_steps)'),
    batchSize: count
      .optional()
      .describe('Images per gradient pass; one pass per update by default (train.batch_size)'),
    stepsPerPass: count
      .optional()
      .describe(
        'Steps (or times) of these images that a pass processes at once; all by default. Memory grows with both; flow_grpo uses 1',
      ),
    innerEpochs: count.default(1).describe('Passes over the samples of an epoch (train.num_inner_epochs)'),
    learningRate: z.number().min(0).default(1e-4).describe('Peak learning rate (train.learning_rate)'),
    schedule: z
      .enum(['constant', 'linear', 'cosine', 'inverseSqrt'])
      .default('constant')
      .describe(
        'Schedule after the warm-up; linear and cosine reach their end with the run, inverseSqrt suits any length',
      ),
    warmupSteps: z.int().min(0).default(0).describe('Optimizer steps of linear warm-up'),
    decayFrom: count
      .default(1)
      .describe('Optimizer step from which inverseSqrt decays as 1/√step; not before the end of the warm-up'),
    scheduleFloor: fraction
      .default(0)
      .describe('Fraction of the learning rate that is left at the end of a decaying schedule'),
    beta1: fraction.default(0.9).describe('AdamW β₁ (train.adam_beta1)'),
    beta2: fraction.default(0.999).describe('AdamW β₂ (train.adam_beta2)'),
    epsilon: z.number().positive().default(1e-8).describe('AdamW ε (train.adam_epsilon)'),
    weightDecay: z.number().min(0).default(1e-4).describe('Decoupled weight decay (train.adam_weight_decay)'),
    maxGradNorm: z
      .number()
      .positive()
      .default(1)
      .describe('Gradients are scaled down to this norm (train.max_grad_norm)'),
  })
  .prefault({});

const ema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Average the trained weights and evaluate the average (train.ema)'),
    decay: fraction.default(0.9).describe('Highest decay (EMAModuleWrapper decay)'),
    interval: count.default(8).describe('Optimizer steps between averages (update_step_interval)'),
  })
  .prefault({});

const divergence = z
  .strictObject({
    action: z.enum(['stop', 'rollback', 'off']).default('stop').describe('What to do on divergence'),
    maxRollbacks: count.default(3).describe('Rollbacks before stopping; each halves the learning rate'),
    maxStepKl: z
      .number()
      .positive()
      .default(2e-5)
      .describe(
        "Most that one epoch may move a recorded step's Gaussian: its KL per latent dimension, mean (μ − μ_old)² / 2·std²; small latents may reach 0.05 nats in total; one epoch in five may exceed it, up to ten times",
      ),
    maxVelocityChange: z
      .number()
      .positive()
      .default(1e-2)
      .describe(
        'Most that one epoch may move the velocity of an algorithm that samples with the ODE: mean (v − v_before)²; one epoch in five may move it further, up to ten times as far',
      ),
    maxVelocityKl: z
      .number()
      .positive()
      .default(0.5)
      .describe(
        "Most that the velocity of such an algorithm may differ from the start of training: mean (v − v_reference)², about 100 times a KL of the step's mean",
      ),
    gradNormFactor: z
      .number()
      .gt(1)
      .default(100)
      .describe('Largest gradient norm, as a multiple of the running median'),
    rewardDrop: z
      .number()
      .positive()
      .default(2)
      .describe('Largest drop of the 5-epoch mean reward below its best, in standard deviations of rewards'),
  })
  .prefault({});

const hacking = z
  .strictObject({
    action: z
      .enum(['off', 'warn', 'stop', 'rollback'])
      .default('warn')
      .describe(
        'What to do when images drift far from the first ones while the reward rises; rollback works as for divergence',
      ),
    window: count
      .min(2)
      .default(10)
      .describe('Number of first epochs, and of latest epochs, whose means are compared'),
    tolerance: z
      .number()
      .positive()
      .default(1)
      .describe('Multiplies how far image statistics may drift before a warning'),
  })
  .prefault({});

/** The options of a run that do not belong to an algorithm. */
export const baseOptions = {
  seed: z.int().min(0).default(42).describe('All random numbers are a function of it (seed)'),
  epochs: count.default(100).describe('Epochs to train (num_epochs)'),
  devices: count
    .default(1)
    .describe('Devices that share the images of rollouts and passes (GPUs of accelerate launch)'),
  shardParameters: z
    .boolean()
    .default(false)
    .describe(
      'Shard the trained weights, their gradients and moments over the devices, for models too large for one (FSDP of accelerate)',
    ),
  shardFrozen: z
    .boolean()
    .default(false)
    .describe('The same for weights that do not train; each layer gathers its own when it runs'),
  shardDevices: count
    .optional()
    .describe(
      'Devices that one copy of split weights is spread over; all by default. With those of one host, hosts exchange no weights (HYBRID_SHARD of FSDP)',
    ),
  evalEvery: count.default(20).describe('Epochs between evaluations (eval_freq)'),
  evalBatchSize: count.default(16).describe('Images per evaluation call (sample.test_batch_size)'),
  saveEvery: count.default(20).describe('Epochs between checkpoints (save_freq)'),
  keepCheckpoints: count.default(5).describe('Checkpoints to keep (num_checkpoint_limit)'),
  sampling,
  prompts,
  training,
  ema,
  divergence,
  hacking,
};

const baseSchema = z.strictObject(baseOptions);

/** A complete configuration without the algorithm's part: what algorithms may look at. */
export type BaseConfig = z.output<typeof baseSchema>;
