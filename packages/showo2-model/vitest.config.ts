import { project } from '../../vitest.base.ts';

export default project('showo2-model', { testTimeout: 240_000, hookTimeout: 240_000 });
