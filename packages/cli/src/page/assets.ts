import { pageAssetsOf } from '@flow-grpo/page-components/assets';

export type { PageAssets } from '@flow-grpo/page-components/assets';

/** The script and the style sheet of the run's page. */
export const pageAssets = pageAssetsOf('flow-grpo', import.meta.url);
