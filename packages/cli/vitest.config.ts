import { project } from '../../vitest.base.ts';

// Some tests start processes or compile for several devices, which takes minutes on a busy machine.
export default project('flow-grpo', { testTimeout: 240_000 });
