import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CATALOGUE, type Distribution, distribution } from './catalogue';
import { installPlugin } from './install';

let root: string;
let environment: Record<string, string>;
let sha256: string;
const machine = { key: 'linux-x64', wheelArchitecture: 'x86_64' };

/** A `pip` that copies a tiny wheel to where it is told, and notes its arguments. */
function fakePip(): void {
  const path = join(root, 'bin', 'pip');
  writeFileSync(
    path,
    `#!/bin/sh
[ "$1" = --version ] && exit 0
echo "$@" >> ${root}/calls
while [ "$1" != --dest ]; do shift; done
/bin/cp ${root}/tiny-1.0-py3-none-any.whl "$2/"
`,
  );
  chmodSync(path, 0o755);
}

/** An uncompressed zip with one stored, executable file; only what unpacking reads. */
function zip(name: string, content: string): Buffer {
  const data = Buffer.from(content);
  const crc = crc32(data);
  const file = Buffer.from(name);
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(20, 4);
  local.writeUInt32LE(crc, 14);
  local.writeUInt32LE(data.length, 18);
  local.writeUInt32LE(data.length, 22);
  local.writeUInt16LE(file.length, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  central.writeUInt16LE(0x0314, 4);
  central.writeUInt16LE(20, 6);
  local.copy(central, 10, 8, 28);
  central.writeUInt16LE(file.length, 28);
  central.writeUInt32LE((0o100755 << 16) >>> 0, 38);
  const start = local.length + file.length + data.length;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length + file.length, 12);
  end.writeUInt32LE(start, 16);
  return Buffer.concat([local, file, data, central, file, end]);
}

function crc32(data: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const catalogue = (hash: string, diskBytes = 1) => {
  const entry: Distribution = {
    folder: 'tiny-1.0',
    library: 'tiny/plugin.so',
    diskBytes,
    wheels: [{ name: 'tiny', version: '1.0', sha256: hash }],
  };
  return { cpu: { 'linux-x64': entry }, cuda13: {} };
};

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pjrt-install-'));
  mkdirSync(join(root, 'bin'));
  environment = { PATH: join(root, 'bin'), XDG_CACHE_HOME: join(root, 'cache') };
  const wheel = zip('tiny/plugin.so', 'library');
  sha256 = createHash('sha256').update(wheel).digest('hex');
  writeFileSync(join(root, 'tiny-1.0-py3-none-any.whl'), wheel);
});
afterEach(() => rmSync(root, { recursive: true }));

describe('installPlugin', () => {
  const cached = () => readdirSync(join(root, 'cache', 'flow-grpo', 'pjrt'));

  it('downloads, checks, unpacks, and the second time does nothing', async () => {
    fakePip();
    const steps: string[] = [];
    const options = {
      environment,
      machine,
      catalogue: catalogue(sha256),
      onProgress: (step: string) => steps.push(step),
    };
    const first = await installPlugin('cpu', options);
    expect(first.installed).toBe(true);
    expect(readFileSync(first.path, 'utf8')).toBe('library');
    expect(statSync(first.path).mode & 0o111).toBe(0o111);
    expect(cached()).toEqual(['tiny-1.0']);
    expect(steps).toEqual(['[1/1] Downloading tiny 1.0', '[1/1] Unpacking tiny (sha256 matches)']);
    expect(await installPlugin('cpu', options)).toEqual({ path: first.path, installed: false });
    const calls = readFileSync(join(root, 'calls'), 'utf8').trim().split('\n');
    expect(calls).toHaveLength(1);
    expect(calls[0]).toMatch(/^download --no-deps .*tiny==1\.0$/);
  });

  it('says where a cache cannot be', async () => {
    fakePip();
    writeFileSync(join(root, 'file'), '');
    const elsewhere = { ...environment, XDG_CACHE_HOME: join(root, 'file/cache') };
    const options = { environment: elsewhere, machine, catalogue: catalogue(sha256) };
    await expect(installPlugin('cpu', options)).rejects.toThrow(
      /file\/cache\/flow-grpo\/pjrt cannot be written \(ENOTDIR\)\. Set XDG_CACHE_HOME to a folder that/,
    );
  });

  it('refuses a wheel with another hash and leaves nothing', async () => {
    fakePip();
    const wrong = '0'.repeat(64);
    await expect(installPlugin('cpu', { environment, machine, catalogue: catalogue(wrong) })).rejects.toThrow(
      new RegExp(`sha256 ${sha256}, expected ${wrong}`),
    );
    expect(cached()).toEqual([]);
  });

  it('removes what killed installations left, and nothing of those that run', async () => {
    fakePip();
    const cache = join(root, 'cache', 'flow-grpo', 'pjrt');
    const { pid: ended } = spawnSync('true');
    for (const name of [`.install-${ended}-aaaaaa`, '.install-bbbbbb', `.install-${process.pid}-cccccc`]) {
      mkdirSync(join(cache, name), { recursive: true });
      writeFileSync(join(cache, name, 'half'), 'of a wheel');
    }
    await installPlugin('cpu', { environment, machine, catalogue: catalogue(sha256) });
    expect(cached().sort()).toEqual([`.install-${process.pid}-cccccc`, 'tiny-1.0']);
  });

  it('says so without pip and uv', async () => {
    await expect(
      installPlugin('cpu', { environment, machine, catalogue: catalogue(sha256) }),
    ).rejects.toThrow(/Neither pip nor uv/);
  });

  it('says so when pip fails', async () => {
    writeFileSync(join(root, 'bin', 'pip'), '#!/bin/sh\n[ "$1" = --version ]\n');
    chmodSync(join(root, 'bin', 'pip'), 0o755);
    await expect(
      installPlugin('cpu', { environment, machine, catalogue: catalogue(sha256) }),
    ).rejects.toThrow(/could not download tiny 1\.0 \(status 1\)/);
    expect(cached()).toEqual([]);
  });

  it('asks for room before downloading', async () => {
    fakePip();
    const options = { environment, machine, catalogue: catalogue(sha256, 2 ** 60) };
    await expect(installPlugin('cpu', options)).rejects.toThrow(/disk of .* too full .*XDG_CACHE_HOME/);
    expect(existsSync(join(root, 'calls'))).toBe(false);
  });

  it('names the machines that have a wheel', () => {
    expect(() => distribution('cpu', { key: 'darwin-arm64', wheelArchitecture: 'aarch64' })).toThrow(
      /No cpu plugin is published for darwin-arm64 \(only linux-x64, linux-arm64\)/,
    );
  });
});

it('every pinned wheel has a whole sha256', () => {
  const wheels = Object.values(CATALOGUE).flatMap((machines) =>
    Object.values(machines).flatMap((each) => each.wheels),
  );
  expect(wheels.length).toBeGreaterThan(20);
  for (const wheel of wheels) expect(wheel.sha256).toMatch(/^[0-9a-f]{64}$/);
});
