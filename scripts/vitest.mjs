/** Runs Vitest and says how many tests passed, failed and were skipped. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

export const root = fileURLToPath(new URL('..', import.meta.url));

const SLOWEST = 15;

/**
 * Vitest with `args` from the repository's root: how many tests passed, failed and were skipped, which failed, and the files
 * whose tests took longest. A run that ends without a report counts as one failure.
 */
export function vitest(args, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'flow-grpo-test-'));
  const report = join(folder, 'report.json');
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } },
  );
  try {
    const {
      numPassedTests: passed,
      numFailedTests,
      numPendingTests,
      numTodoTests,
      testResults,
    } = JSON.parse(readFileSync(report, 'utf8'));
    // A file that fails to load has no tests of its own to count.
    const broken = testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.length === 0,
    );
    const failed = numFailedTests + broken.length || (status === 0 ? 0 : 1);
    const failures = [
      ...broken.map((file) => failure(file, 'the file itself', file.message)),
      ...testResults.flatMap((file) =>
        file.assertionResults
          .filter((test) => test.status === 'failed')
          .map((test) => failure(file, test.fullName, test.failureMessages[0])),
      ),
    ];
    // A test file that ends its process is in no report.
    if (failed > 0 && failures.length === 0)
      failures.push(`Vitest: status ${status}; its errors stand above`);
    const slowest = testResults
      .map(({ name, startTime, endTime }) => ({
        file: relative(root, name),
        seconds: (endTime - startTime) / 1000,
      }))
      .sort((a, b) => b.seconds - a.seconds)
      .slice(0, SLOWEST);
    return { passed, failed, skipped: numPendingTests + numTodoTests, failures, slowest };
  } catch {
    return { passed: 0, failed: 1, skipped: 0, failures: ['Vitest: it ended without a report'], slowest: [] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A line that names a failed test and begins its message. */
const failure = (file, test, message = '') =>
  `${relative(root, file.name)}: ${test}: ${stripVTControlCharacters(message).split('\n')[0].slice(0, 300)}`;
