import { project } from '../../vitest.base.ts';

export default project('example-pickscore-4gpu');
