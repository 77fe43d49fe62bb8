/** package.json and tsconfig.json of a new project. */
import { type Choices, isModel } from '../choices';

/** The tensors that all packages share: one version for all of them. */
const TFJS = '4.22.0';

export function packageManifest(name: string, version: string, { setup }: Choices): string {
  const ours = `^${version}`;
  const manifest = {
    name,
    private: true,
    type: 'module',
    scripts: {
      train: 'flow-grpo train run.yaml',
      plan: 'flow-grpo train run.yaml --dry-run',
      doctor: 'flow-grpo doctor',
      'install-xla': 'pjrt install cpu',
      typecheck: 'tsc',
    },
    dependencies: {
      ...(isModel(setup) && { '@flow-grpo/datasets': ours }),
      '@flow-grpo/pjrt': ours,
      '@tensorflow/tfjs-core': TFJS,
      'flow-grpo': ours,
    },
    devDependencies: { '@types/node': '^20.19.0', typescript: '^5.9.0' },
    engines: { node: '>=20.19' },
    // Its script compiles it where no prebuilt library fits; npm would warn that it was not run.
    allowScripts: { koffi: false },
  };
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

export const TSCONFIG = `${JSON.stringify(
  {
    compilerOptions: {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: true,
      noEmit: true,
      erasableSyntaxOnly: true,
      types: ['node'],
    },
    include: ['*.ts'],
  },
  null,
  2,
)}\n`;
