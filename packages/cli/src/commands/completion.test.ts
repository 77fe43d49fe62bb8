import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { completionScript, SHELLS } from './completion';
import { program } from './main';

const folder = mkdtempSync(join(tmpdir(), 'completion-'));
afterAll(() => rmSync(folder, { recursive: true }));

const has = (shell: string) => {
  try {
    execFileSync(shell, ['-c', 'exit'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** What bash offers after these words. */
function offered(...words: string[]): string[] {
  const file = join(folder, 'completion.bash');
  writeFileSync(file, completionScript(program(), 'bash'));
  const list = words.map((word) => `'${word}'`).join(' ');
  const script = `source ${file}; COMP_WORDS=(flow-grpo ${list}); COMP_CWORD=${words.length}; _flow_grpo; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' }).trim().split('\n');
}

describe('completion', () => {
  it.each([
    [['tr'], ['train']],
    [['re'], ['report']],
    [['train', '--training.learn'], ['--training.learningRate']],
    [['train', 'run.yaml', '--resu'], ['--resume']],
    [['eval', '--checkp'], ['--checkpoint']],
    [['report', '--training.learn'], ['']],
    [['train', '--backend', 'w'], ['wasm']],
    [['train', '--sampling.window.kind', 's'], ['sliding']],
    [['init', '--setup', 'mo'], ['module']],
  ])('completes %j in bash', (words, expected) => {
    expect(offered(...words)).toEqual(expected);
  });

  it.each(SHELLS)('knows every command and flag in %s', (shell) => {
    const script = completionScript(program(), shell);
    const root = program();
    for (const command of root.commands) {
      expect(script).toContain(command.name());
      for (const { long } of command.options)
        expect(script).toContain(shell === 'fish' ? `-l ${long!.slice(2)}` : long!);
    }
  });

  it.each(SHELLS.filter(has))('is accepted by %s', (shell) => {
    const file = join(folder, `check.${shell}`);
    writeFileSync(file, completionScript(program(), shell));
    execFileSync(shell, ['-n', file]); // parses it, runs nothing
  });
});
