import { runFileSchema } from '../../packages/cli/src/run-file/schema';
import { showo2SetupSchema, zImageSetupSchema } from '../../packages/cli/src/run-file/setup-schema';
import { type SchemaLeaf, schemaLeaves } from '../../packages/grpo-trainer/src/config/leaves';

/** Every option of a run's file; the set-up's are those of Show-o2, and what Z-Image has instead. */
function runOptions(): SchemaLeaf[] {
  const own = schemaLeaves(runFileSchema).filter(({ path }) => path !== 'setup' && !path.startsWith('$'));
  const under = (group: string, leaves: readonly SchemaLeaf[]) =>
    leaves.map((leaf) => ({ ...leaf, path: `${group}.${leaf.path}` }));
  const showo2 = schemaLeaves(showo2SetupSchema);
  const isShared = (leaf: SchemaLeaf) =>
    showo2.some(({ path, description }) => path === leaf.path && description === leaf.description);
  const zImage = schemaLeaves(zImageSetupSchema).filter((leaf) => !isShared(leaf));
  return [...own, ...under('setup', showo2), ...under(Z_IMAGE, zImage)];
}

/** The group of Z-Image's own options, as its heading says. */
const Z_IMAGE = 'setup (kind: z-image)';

/** One Markdown table a group: name, values, default, and what the schema says of it. */
export function optionsTable(): string {
  const options = runOptions();
  return [...new Set(options.map(groupOf))]
    .map((group) =>
      [
        `### ${group === '' ? 'The run' : `\`${group}\``}`,
        '',
        '| Option | Value | Default | Meaning |',
        '| --- | --- | --- | --- |',
        ...options
          .filter((option) => groupOf(option) === group)
          .map(
            ({ path, values, default: value, description }) =>
              `| \`${path.split('.').at(-1)}\` | ${cell(values)} | ${value === undefined ? '' : `\`${JSON.stringify(value)}\``} | ${cell(meaning(description))} |`,
          ),
      ].join('\n'),
    )
    .join('\n\n');
}

/** The names of flow_grpo and of other official code beside ours. */
export function namesTable(): string {
  // A reward's name is flow_grpo's own; only what is below differs.
  const options = runOptions().filter(
    ({ path }) => !path.startsWith('setup.reward.') && !path.startsWith(Z_IMAGE),
  );
  const rows = options.flatMap(({ path, flowGrpo, description }) =>
    flowGrpo ? [`| ${cell(flowGrpo)} | \`${path}\` | ${cell(meaning(description))} |`] : [],
  );
  return ['| flow_grpo, or the algorithm’s own code | here | |', '| --- | --- | --- |', ...rows].join('\n');
}

const groupOf = ({ path }: SchemaLeaf) => path.split('.').slice(0, -1).join('.');

/** A description without flow_grpo's name at its end, which has a column of its own. */
const meaning = (description: string) => description.replace(/ ?\([^()]*\)$/, '');

const cell = (text: string) => text.replaceAll('|', ' \\| ').replaceAll('<', '&lt;');
