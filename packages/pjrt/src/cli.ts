#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { installPlugin } from './plugins/install';

const program = new Command('pjrt')
  .description('Install and check the XLA plugins that @flow-grpo/pjrt runs on.')
  .showHelpAfterError()
  .exitOverride();

program
  .command('install')
  .description('Put a plugin into the cache (XDG_CACHE_HOME or ~/.cache, flow-grpo/pjrt), through pip or uv.')
  .argument('<plugin>', 'cpu, or cuda13 with the NVIDIA libraries it needs (several GB)')
  .action(async (name: string) => {
    if (name !== 'cpu' && name !== 'cuda13') {
      throw new Error(`There is no plugin ${name}; install cpu or cuda13.`);
    }
    const { path, installed } = await installPlugin(name, {
      onProgress: (message) => process.stderr.write(`${message}\n`),
    });
    process.stdout.write(installed ? `Installed ${path}\n` : `Already installed: ${path}\n`);
  });

program
  .command('doctor')
  .description('Say what is found, test it, and what to do about what is missing.')
  .option('--plugin <path>', 'look at this library alone')
  .option('--platform <platform>', 'cpu or cuda; default: what a program would get')
  .action(async (options: { plugin?: string; platform?: string }) => {
    if (options.platform !== undefined && options.platform !== 'cpu' && options.platform !== 'cuda') {
      throw new Error(`There is no platform ${options.platform}; cpu or cuda.`);
    }
    const { runDoctor } = await import('./doctor');
    const healthy = await runDoctor({ plugin: options.plugin, platform: options.platform }, (line) =>
      process.stdout.write(`${line}\n`),
    );
    process.exitCode = healthy ? 0 : 1;
  });

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode;
  } else {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
