/**
 * Writes into every package's package.json what all have in common: repository, homepage, bugs and engines, as the root's
 * package.json has them, and keywords where there are none. Run it after adding a package, or when the address changes.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const COMMON = ['flow-matching', 'grpo', 'tensorflowjs'];

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { repository, homepage, bugs, engines } = read(at('package.json'));

/** The fields of a package in a folder, in the order in which they stand. */
export function commonFields(folder, keywords = COMMON) {
  return {
    homepage: `${homepage}/tree/main/packages/${folder}`,
    repository: { ...repository, directory: `packages/${folder}` },
    bugs,
    keywords,
    engines,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const folder of readdirSync(at('packages'))) {
    const path = at(`packages/${folder}/package.json`);
    const { name, version, description, license, type, keywords, ...rest } = read(path);
    const fields = commonFields(folder, keywords);
    for (const field of Object.keys(fields)) delete rest[field];
    const { keywords: words, engines: node, ...addresses } = fields;
    const manifest = {
      name,
      version,
      description,
      keywords: words,
      ...addresses,
      license,
      type,
      engines: node,
      ...rest,
    };
    writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`);
  }
}
