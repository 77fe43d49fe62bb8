/** The options of a run as data: their schema, what in them contradicts itself, and the epoch that follows from them. */
export { type EpochPlan, epochPlan } from '../rollout/epoch-plan';
export { type Leaf, leavesOf } from './leaves';
export {
  ConfigError,
  configJsonSchema,
  contradictions,
  defineConfig,
  parseConfig,
  resolveConfig,
} from './resolve';
export { type GrpoConfig, type GrpoConfigInput, grpoConfigSchema } from './schema';
