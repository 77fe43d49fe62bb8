/** Says whether an image shows the coloured shapes its GenEval metadata asks for, and what it shows instead. */
export { describeScene, describeScenes, freeColors, sceneDiversity } from './describe';
export { type FindShapesOptions, type FoundShape, findShapes } from './find';
export { type JudgeOptions, judge, type Verdict } from './judge';
export type { Pixels } from './pixels';
export { type ShapeEvalOptions, shapeEval } from './shape-eval';
