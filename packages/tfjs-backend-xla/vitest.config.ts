import { fileURLToPath } from 'node:url';
import { project } from '../../vitest.base.ts';

export default project('tfjs-backend-xla', {
  setupFiles: [fileURLToPath(new URL('./vitest.setup.ts', import.meta.url))],
});
