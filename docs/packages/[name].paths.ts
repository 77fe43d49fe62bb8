import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { apiLink, packageNames } from '../site/packages';

const packages = fileURLToPath(new URL('../../packages/', import.meta.url));

/** A page for every package: its README. */
export default {
  watch: ['../../packages/*/README.md'],
  paths: () =>
    packageNames.map((name) => ({
      params: { name },
      content: `${readFileSync(`${packages}${name}/README.md`, 'utf8')}\n\n[All exports](${apiLink(name)})\n`,
    })),
};
