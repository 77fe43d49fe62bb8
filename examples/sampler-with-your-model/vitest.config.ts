import { project } from '../../vitest.base.ts';

export default project('example-sampler-with-your-model');
