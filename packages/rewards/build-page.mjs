// The page of scores for browsers: bundles src/cli/page. The build calls it, and so do tests and other users of the sources.
import { fileURLToPath } from 'node:url';
import { bundlePage } from '@flow-grpo/page-components/bundle';

/** The page's script and style sheet, each as one text. */
export const buildPage = () => bundlePage(fileURLToPath(new URL('./src/cli/page/main.tsx', import.meta.url)));
