/** The options of a run as data: their schema, what in them contradicts itself, and the epoch that follows from them. */
export { type EpochPlan, epochPlan } from '../rollout/epoch-plan';
export { type SchemaLeaf, schemaLeaves } from './leaves';
export { configJsonSchema, configProblems, parseConfig } from './resolve';
export { grpoConfigSchema } from './schema';
