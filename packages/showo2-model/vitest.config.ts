import { project } from '../../vitest.base.ts';

export default project('showo2-model');
