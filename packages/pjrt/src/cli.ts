#!/usr/bin/env node
import { Argument, Command, CommanderError, Option } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { installPlugin } from './plugins/install';

const EXIT_CODES = `
Exit codes: 0 done; 1 failed, or the machine cannot run XLA; 2 wrong usage.`;

const program = new Command('pjrt')
  .description('Install and check the XLA plugins that @flow-grpo/pjrt runs on.')
  .version(manifest.version, '-V, --version', 'print the version')
  .addHelpText('after', EXIT_CODES)
  .showHelpAfterError('(--help lists commands and options)')
  .exitOverride();

program
  .command('install')
  .description('Put a plugin into the cache (XDG_CACHE_HOME or ~/.cache, flow-grpo/pjrt), through pip or uv.')
  .addArgument(
    new Argument('<plugin>', 'cpu, or cuda13 with the NVIDIA libraries it needs (several GB)').choices([
      'cpu',
      'cuda13',
    ]),
  )
  .action(async (name: 'cpu' | 'cuda13') => {
    const { path, installed } = await installPlugin(name, {
      onProgress: (message) => process.stderr.write(`${message}\n`),
    });
    process.stdout.write(installed ? `Installed ${path}\n` : `Already installed: ${path}\n`);
  });

program
  .command('doctor')
  .description('Report what is found, test it, and say what to do if something is missing.')
  .option('--plugin <path>', 'check only this library')
  .addOption(
    new Option(
      '--platform <platform>',
      'the platform to test; by default the one that programs would use',
    ).choices(['cpu', 'cuda']),
  )
  .action(async (options: { plugin?: string; platform?: 'cpu' | 'cuda' }) => {
    const { runDoctor } = await import('./doctor');
    const healthy = await runDoctor(options, (line) => process.stdout.write(`${line}\n`));
    process.exitCode = healthy ? 0 : 1;
  });

/** Whoever reads may have had enough: `pjrt doctor | head -1`. */
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed what is wrong, or the help that was asked for.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
