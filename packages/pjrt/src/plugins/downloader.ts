import { spawn, spawnSync } from 'node:child_process';
import type { PinnedWheel } from './wheel';

type Environment = Readonly<Record<string, string | undefined>>;

/** A command that behaves like `pip`. */
interface Pip {
  command: string;
  prefix: string[];
}

const CANDIDATES: readonly Pip[] = [
  { command: 'pip', prefix: [] },
  { command: 'pip3', prefix: [] },
  { command: 'python3', prefix: ['-m', 'pip'] },
  { command: 'uv', prefix: ['tool', 'run', 'pip'] },
];

/** glibc versions that the wheels of the catalogue are tagged with; pip takes no ranges. */
const GLIBC_TAGS = ['2_17', '2_24', '2_25', '2_26', '2_27', '2_28', '2_31', '2_34', '2_35'];

/** The pip on this machine, or pip run by uv. @throws when there is neither. */
export function findPip(environment: Environment = process.env): Pip {
  const env = environment as NodeJS.ProcessEnv;
  for (const candidate of CANDIDATES) {
    const { status } = spawnSync(candidate.command, [...candidate.prefix, '--version'], {
      env,
      stdio: 'ignore',
      timeout: 60_000,
    });
    if (status === 0) return candidate;
  }
  throw new Error(
    'Neither pip nor uv is on the path. Install one (https://docs.astral.sh/uv or your system’s python3-pip), or download a plugin yourself and set PJRT_PLUGIN_LIBRARY_PATH to its library.',
  );
}

/**
 * Downloads one wheel into `folder` with pip, so that the user's indexes, mirrors, proxies and credentials apply.
 * pip's own output, with its progress bar, goes to the terminal.
 */
export async function downloadWheel(
  pip: Pip,
  wheel: PinnedWheel,
  architecture: string,
  folder: string,
  environment: Environment = process.env,
): Promise<void> {
  const platforms = [...GLIBC_TAGS.map((tag) => `manylinux_${tag}`), 'manylinux2014'];
  const args = [
    ...pip.prefix,
    'download',
    '--no-deps',
    '--disable-pip-version-check',
    '--only-binary=:all:',
    '--implementation=cp',
    '--python-version=3.12',
    ...platforms.flatMap((tag) => ['--platform', `${tag}_${architecture}`]),
    '--dest',
    folder,
    `${wheel.name}==${wheel.version}`,
  ];
  const status = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(pip.command, args, {
      env: environment as NodeJS.ProcessEnv,
      stdio: ['ignore', process.stderr, process.stderr],
    });
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (status === 0) return;
  throw new Error(
    `${[pip.command, ...pip.prefix].join(' ')} could not download ${wheel.name} ${wheel.version} (status ${status}); its message is above. A mirror is set with PIP_INDEX_URL.`,
  );
}
