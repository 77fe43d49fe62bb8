/** The options of a run as data: their schema, their contradictions, and the epoch that they describe. */
export { type EpochPlan, epochPlan } from '../rollout/epoch-plan';
export { type SchemaLeaf, schemaLeaves } from './leaves';
export { configJsonSchema, configProblems, parseConfig } from './resolve';
export { grpoConfigSchema } from './schema';
