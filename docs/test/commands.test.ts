/** Commands that documents and examples show: each exists, with its flags; those for clusters start a run as they say. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { program } from '../../packages/cli/src/commands/main';
import { readRun, type SharedOptions } from '../../packages/cli/src/commands/shared';
import { placeInRun } from '../../packages/cli/src/processes/place';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** What the command would be called with. */
async function parsed(words: readonly string[]): Promise<{ name: string; options: SharedOptions }> {
  const command = program().configureOutput({ writeErr: () => {} });
  const called: { name: string; options: SharedOptions }[] = [];
  for (const each of command.commands) {
    each
      .configureOutput({ writeErr: () => {} })
      .action(() => void called.push({ name: each.name(), options: each.opts() }));
  }
  await command.parseAsync(['node', 'flow-grpo', ...words]);
  return called[0]!;
}

describe('documents', () => {
  const texts = ['.', 'docs', 'docs/packages', 'packages/*', 'examples/*']
    .flatMap((folder) => {
      if (!folder.endsWith('/*')) return [folder];
      const parent = folder.slice(0, -2);
      return readdirSync(join(root, parent)).map((name) => `${parent}/${name}`);
    })
    .flatMap((folder) =>
      readdirSync(join(root, folder))
        .filter((name) => name.endsWith('.md'))
        .map((name) => join(folder, name)),
    );
  const commands = texts.flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8').replaceAll(/\\\n\s*/g, '');
    return [...text.matchAll(/(?:npx |\.bin\/)flow-grpo ([a-z][^`"#&|;<>)\n]*)/g)].map(
      ([, line]) => [file, line!.trim()] as const,
    );
  });
  it('show some', async () => {
    expect(commands.length).toBeGreaterThan(20);
    for (const wrong of [['trian'], ['train', '--nonsense'], ['train', '--training.rate', '1']])
      await expect(parsed(wrong)).rejects.toThrow();
  });
  it.each(commands)('%s: flow-grpo %s', async (_, line) => {
    await expect(parsed(line.split(/\s+/))).resolves.toBeDefined();
  });
});

describe('examples/pickscore-4gpu/cluster', () => {
  const example = join(root, 'examples/pickscore-4gpu');
  const COMMAND = 'node_modules/.bin/flow-grpo'; // npx passes no signals on

  /** The script run with an srun that tells what it was asked to start. */
  function startedBySlurm(): string[][] {
    const folder = mkdtempSync(join(tmpdir(), 'slurm-'));
    try {
      const tell = 'printf "%s " "cpus=$SRUN_CPUS_PER_TASK" "secret=$FLOW_GRPO_SECRET" "$@"; echo';
      for (const [name, body] of [
        ['srun', tell],
        ['openssl', 'echo of-this-job'],
      ] as const) {
        writeFileSync(join(folder, name), `#!/bin/bash\n${body}\n`);
        chmodSync(join(folder, name), 0o755);
      }
      const env = { PATH: `${folder}:${process.env.PATH}`, SLURM_CPUS_PER_TASK: '8' };
      const said = execFileSync('bash', [join(example, 'cluster/slurm.sbatch')], { env, encoding: 'utf8' });
      return said
        .trim()
        .split('\n')
        .map((line) => line.trim().split(' '));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  interface Job {
    readonly kind: string;
    readonly metadata: { readonly name: string };
    readonly spec: {
      readonly completions: number;
      readonly template: {
        readonly spec: {
          readonly subdomain: string;
          readonly containers: readonly {
            readonly command: readonly string[];
            readonly args: readonly string[];
            readonly env: readonly { readonly name: string; readonly value?: string }[];
            readonly ports: readonly { readonly containerPort: number }[];
            readonly resources: { readonly limits: Readonly<Record<string, number>> };
          }[];
        };
      };
    };
  }
  const documents = parseAllDocuments(readFileSync(join(example, 'cluster/kubernetes.yaml'), 'utf8')).map(
    (document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Job;
    },
  );

  /** Each GPU has what the file of four gives it. */
  async function expectScaled(words: readonly string[], devices: number) {
    const [command, name, file, ...flags] = words;
    expect([command, name, file]).toEqual([COMMAND, 'train', 'pickscore.yaml']);
    const path = join(example, file!);
    const { options } = await parsed([name!, path, ...flags]);
    const [{ config }, { config: four }] = await Promise.all([
      readRun(path, options),
      readRun(path, { backend: 'xla', set: [] }),
    ]);
    expect([config.devices, four.devices]).toEqual([devices, 4]);
    const perGpu = ({ devices: all, sampling, training, evalBatchSize }: typeof config) => [
      sampling.promptsPerEpoch / all,
      sampling.batchSize! / all,
      training.batchSize! / all,
      evalBatchSize / all,
    ];
    expect(perGpu(config)).toEqual(perGpu(four));
  }

  it('slurm.sbatch checks, then trains on all GPUs of its machines', async () => {
    const text = readFileSync(join(example, 'cluster/slurm.sbatch'), 'utf8');
    const [nodes, gpus, tasks] = ['nodes', 'gpus-per-node', 'ntasks-per-node'].map((name) =>
      Number(new RegExp(`^#SBATCH --${name}=(\\d+)$`, 'm').exec(text)![1]),
    ) as [number, number, number];
    expect(tasks).toBe(gpus);
    const started = startedBySlurm();
    expect(started.map(([cpus, secret]) => [cpus, secret])).toEqual(
      Array(2).fill(['cpus=8', 'secret=of-this-job']),
    );
    const [check, training] = started.map((words) => words.slice(2));
    expect(check).toEqual([COMMAND, 'doctor', '--distributed']);
    await expect(parsed(check!.slice(1))).resolves.toBeDefined();
    await expectScaled(training!, nodes * gpus);
  });

  it('kubernetes.yaml trains on all GPUs of its pods, which meet at the first', async () => {
    const [service, job] = ['Service', 'Job'].map((kind) => documents.find((each) => each.kind === kind)!);
    const { completions, template } = job!.spec;
    const [container] = template.spec.containers;
    const { command, args, env, ports, resources } = container!;
    await expectScaled([...command, ...args], completions * resources.limits['nvidia.com/gpu']!);
    const variables = Object.fromEntries(env.map(({ name, value }) => [name, value]));
    expect(variables).toHaveProperty('FLOW_GRPO_SECRET');
    expect(template.spec.subdomain).toBe(service!.metadata.name);
    const last = `${completions - 1}`;
    expect(placeInRun({}, { ...variables, JOB_COMPLETION_INDEX: last })).toMatchObject({
      processId: completions - 1,
      numProcesses: completions,
      coordinator: `${job!.metadata.name}-0.${service!.metadata.name}:${ports[0]!.containerPort}`,
    });
  });
});
