#!/usr/bin/env node
/*
 * The bin. Plain JavaScript that Node 12 can parse, because its one job is to say clearly when the Node that runs it
 * is too old for everything else. Hence no optional chaining, no top-level await and no `node:` in here.
 */
// biome-ignore lint/style/useNodejsImportProtocol: Node 12 does not know the protocol
import { existsSync } from 'fs';
// biome-ignore lint/style/useNodejsImportProtocol: Node 12 does not know the protocol
import { dirname, join, relative } from 'path';
// biome-ignore lint/style/useNodejsImportProtocol: Node 12 does not know the protocol
import { fileURLToPath } from 'url';

// Below 24 there is no `await using`; in 24.0 to 24.5 zstd dictionaries are silently ignored.
const needed = '24.6 or later';

function isFit(version) {
  const [major, minor] = version.split('.').map(Number);
  return major > 24 || (major === 24 && minor >= 6);
}

/** A Node that npm installed for us, here or in a parent folder's node_modules. */
function findInstalledNode(start) {
  const places = ['node_modules/.bin/node', 'node_modules/node/bin/node', 'node_modules/node/bin/node.exe'];
  for (let folder = start; ; folder = dirname(folder)) {
    const found = places.map((place) => join(folder, place)).find((path) => existsSync(path));
    if (found !== undefined || dirname(folder) === folder) return found;
  }
}

function fail(code, message, hint) {
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message, retry: 'never', hint } })}\n`);
  } else {
    process.stderr.write(`error ${code}: ${message}\ntry: ${hint}\n`);
  }
  process.exitCode = 1;
}

function refuse() {
  const script = fileURLToPath(import.meta.url);
  const args = process.argv.slice(2);
  const installed = findInstalledNode(dirname(script));
  const near = (path) => relative(process.cwd(), path);
  fail(
    'runtime-too-old',
    `Siteferry needs Node ${needed}; this is Node ${process.versions.node}`,
    installed === undefined
      ? '"npm install" brings Node 24; then "npx siteferry ..." and "npm start" use it'
      : `${['npx', 'siteferry'].concat(args).join(' ')}, or: ${[near(installed), near(script)].concat(args).join(' ')}`,
  );
}

function launch() {
  // What Node thinks of its own features is of no use to people who move packages.
  process.removeAllListeners('warning');
  if (process.argv.includes('--debug')) {
    process.on('warning', (warning) => process.stderr.write(`${warning.stack}\n`));
  }
  // Stripping types takes longer than most commands; the second start finds it done. Not in the system's folder for
  // temporary files, where others might put code for us to run. Threads and child processes look there, too.
  const cache = join(dirname(fileURLToPath(import.meta.url)), '../../node_modules/.cache/siteferry');
  process.env.NODE_COMPILE_CACHE = process.env.NODE_COMPILE_CACHE || cache;
  becomeLean();
  // biome-ignore lint/style/useNodejsImportProtocol: Node 12 does not know the protocol
  import('module').then(({ enableCompileCache }) => enableCompileCache(cache)).then(start);
}

// The young generation stays as small as it starts, here and in threads: what is large lives outside of it.
const leanFlags = ['--semi-space-growth-factor=1'];

/**
 * What decides about memory is read once, when a process starts: V8's flags, and when the C library gives back what was
 * freed (glibc keeps it for each thread; others ignore the variable). So the process becomes itself once more, with the
 * same id, streams and arguments, for 20 ms. Measured together on folders of 4,000 files: 435 to 300 MiB at the peak.
 */
function becomeLean() {
  const isLean = leanFlags.every((flag) => process.execArgv.includes(flag));
  if (isLean || process.platform !== 'linux' || typeof process.execve !== 'function') return;
  const env = Object.assign({ MALLOC_TRIM_THRESHOLD_: '131072', MALLOC_MMAP_THRESHOLD_: '4194304' }, process.env);
  try {
    process.execve(
      process.execPath,
      [process.execPath].concat(leanFlags, process.execArgv, process.argv.slice(1)),
      env,
    );
  } catch (error) {
    if (process.argv.includes('--debug')) process.stderr.write(`not lean: ${error.stack}\n`);
  }
}

function start() {
  import('./main.ts').catch((error) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    fail('internal', `Siteferry is not installed completely: ${error.message}`, 'npm install');
  });
}

if (isFit(process.versions.node)) launch();
else refuse();
