/**
 * A process in which other test files ran before, as if it had just begun: their variables of the environment, working folder
 * and tfjs are gone.
 */
import { createRequire } from 'node:module';

const shared = globalThis as typeof globalThis & {
  /** How the process began. */
  flowGrpoProcess?: { env: NodeJS.ProcessEnv; folder: string };
  /** The state that copies of tfjs-core share. */
  _tfengine?: unknown;
  _tfGlobals?: unknown;
};

shared.flowGrpoProcess ??= { env: { ...process.env }, folder: process.cwd() };
const { env, folder } = shared.flowGrpoProcess;
for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
Object.assign(process.env, env);
process.chdir(folder);
// Modules of the files before listen for the end of the process.
process.setMaxListeners(0);

const { cache } = createRequire(import.meta.url);
for (const file of Object.keys(cache)) if (file.includes('/node_modules/@tensorflow/')) delete cache[file];
delete shared._tfengine;
delete shared._tfGlobals;
