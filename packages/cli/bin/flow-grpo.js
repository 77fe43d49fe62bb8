#!/usr/bin/env node
// npm links commands when it installs, which in this repository is before the build.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`flow-grpo needs Node 20.19 or later, and this is ${process.version}: https://nodejs.org`);
  process.exitCode = 2;
} else {
  await import('../dist/bin.js');
}
