// The run's page for browsers: bundles src/page/app. The build calls it, and so do tests and other users of the sources.
import { fileURLToPath } from 'node:url';
import { bundlePage } from '@flow-grpo/page-components/bundle';

/** The page's script and style sheet, each as one text. */
export const buildPage = () => bundlePage(fileURLToPath(new URL('./src/page/app/main.tsx', import.meta.url)));
