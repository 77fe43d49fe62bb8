/** Prompts to train on: seeded, addressed by index, and with the metadata their rewards need. */
export type { PromptExample } from './examples';
export {
  GENEVAL_TAGS,
  type GenevalMetadata,
  type GenevalObject,
  type GenevalRelation,
  type GenevalTag,
  parseGenevalMetadata,
} from './geneval/metadata';
export type { ColumnOptions } from './prompts/formats';
export { type OpenPromptsOptions, openPrompts } from './prompts/open';
export type { PromptSet } from './prompts/prompt-set';
export { splitPrompts } from './prompts/split';
export { type KRepeatOptions, KRepeatSampler, type KRepeatState } from './sampling/k-repeat-sampler';
export { COLORS, type ColorName, PALETTE } from './shapes/colors';
export { FAULTS, type Fault } from './shapes/faults';
export type { SceneObject } from './shapes/layout';
export { DEFAULT_SHAPES, OUTLINES, type Outline, SHAPES, type Shape } from './shapes/outlines';
export {
  type SceneBatch,
  type ShapeScene,
  type ShapeScenes,
  type ShapeScenesOptions,
  sceneBatch,
  shapeScenes,
} from './shapes/scenes';
export type { SceneSplit } from './shapes/splits';
