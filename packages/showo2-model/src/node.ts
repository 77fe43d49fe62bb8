/** Reading and writing files: models by path or hub id. */
export { type LoadingProgress, type LoadShowo2Options, loadShowo2, readShowo2Config } from './pipeline/load';
export { showo2FromPretrained } from './pipeline/pretrained';
export { type Showo2Places, showo2RequiredFiles } from './pipeline/required-files';
export { saveShowo2 } from './pipeline/save';
export { type Foundations, type StartOptions, showo2FromFoundations } from './pipeline/start';
