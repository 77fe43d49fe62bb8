#!/usr/bin/env node
// npm links commands when it installs, which in this repository is before the build.
import '../dist/bin.js';
