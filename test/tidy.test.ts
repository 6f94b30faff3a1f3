/**
 * Tests of the repository itself: who may import whom, which folder is the only door to each outside thing, how long a
 * file may grow. A rule that no machine checks is a wish; a broken one names its replacement.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript';

const root = resolve(import.meta.dirname, '..');

const base = ['src/errors.ts', 'src/model', 'src/wire', 'src/world'];
const engine = [
  'store',
  'catalog',
  'holdings',
  'queue',
  'journal',
  'snapshot',
  'delta',
  'transfer',
  'spool',
  'engine.ts',
].map((name) => `src/engine/${name}`);

/** Rooms from the ground floor up. A file may import its own room and the rooms listed. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'native-free-rdc': [],
  'src/errors.ts': [],
  'src/model': ['src/errors.ts'],
  'src/wire': ['src/errors.ts', 'src/model'],
  'src/world': ['src/errors.ts', 'src/model'],

  'src/engine/store': base,
  'src/engine/holdings': base,
  'src/engine/journal': base,
  'src/engine/catalog': [...base, 'src/engine/store'],
  'src/engine/queue': [...base, 'src/engine/journal'],
  'src/engine/snapshot': [...base, 'src/engine/store'],
  'src/engine/delta': [...base, 'native-free-rdc', 'src/engine/store', 'src/engine/catalog'],
  'src/engine/transfer': base,
  'src/engine/spool': [...base, 'src/engine/store', 'src/engine/catalog', 'src/engine/delta'],
  'src/engine/engine.ts': [...base, ...engine],

  'src/roles': [...base, ...engine],
  'src/console': [...base, ...engine],
  'src/config.ts': ['src/errors.ts', 'src/model', 'src/world'],
  'src/folder-delta': [...base, 'native-free-rdc', 'src/engine/snapshot', 'src/engine/store', 'src/engine/delta'],
  'src/file-delta': [...base, 'native-free-rdc', 'src/folder-delta', 'src/engine/delta', 'src/engine/store'],
  'src/worker.ts': [...base, ...engine],
  'src/site.ts': [...base, ...engine, 'src/roles', 'src/console', 'src/config.ts'],
  'src/index.ts': ['src/errors.ts', 'src/model', 'src/world', 'src/config.ts', 'src/site.ts'],
  'src/cli': [...base, 'src/config.ts', 'src/site.ts', 'src/file-delta', 'native-free-rdc'],
};

/** Each outside thing has one door. */
const oneDoor: readonly { readonly what: RegExp; readonly door: string; readonly instead: string }[] = [
  {
    what: /^(lmdb|undici|pino|node:(fs|fs\/promises|http|https|net|worker_threads|timers|timers\/promises|child_process))$/,
    door: 'src/world/',
    instead: 'the World passed in',
  },
];
const bannedText: readonly { readonly what: RegExp; readonly doors: readonly string[]; readonly instead: string }[] = [
  { what: /\bDate\.now\(|\bnew Date\(\)|\bperformance\.now\(/, doors: ['src/world/'], instead: 'world.clock' },
  { what: /\bsetTimeout\(|\bsetInterval\(|\bsetImmediate\(/, doors: ['src/world/'], instead: 'world.clock.sleep' },
  { what: /\bMath\.random\(|\brandomUUID\(|\brandomBytes\(/, doors: ['src/world/'], instead: 'world.random' },
  {
    what: /\bprocess\.env\b/,
    doors: ['src/world/host.ts', 'src/world/processes.ts'],
    instead: 'a field of NodeConfig',
  },
  { what: /\bconsole\.(log|warn|error)\(/, doors: ['src/cli/', 'src/world/database-check.ts'], instead: 'world.log' },
  { what: /\b(FIXME|TODO|XXX|HACK)\b/, doors: [], instead: 'a fix before merging' },
  { what: /@ts-(ignore|expect-error|nocheck)/, doors: [], instead: 'a type that is right' },
];
const bannedPath = /(^|\/)(utils?|helpers?|common|shared|misc|lib)(\/|\.ts$)/;

/** Longer than this, a file is more than one noun. Files that are one and longer are named with their reason. */
const lineCountMax = 350;
const longFiles: Readonly<Record<string, number>> = {};

const sources = globSync('{src,native-free-rdc/src}/**/*.ts', { cwd: root }).map((path) => path.replaceAll('\\', '/'));

function roomOf(path: string): string {
  const rooms = Object.keys(mayImport).filter((room) => path === room || path.startsWith(`${room}/`));
  const [room] = rooms.sort((left, right) => right.length - left.length);
  assert.ok(room, `${path} lives in no declared room: move it, or declare the room in test/tidy.test.ts`);
  return room;
}

/** Specifiers of static, dynamic and type-only imports alike. */
function importsOf(text: string): string[] {
  return ts.preProcessFile(text, true, true).importedFiles.map((file) => file.fileName);
}

function faultsOf(path: string, text: string): string[] {
  const room = roomOf(path);
  const faults: string[] = [];
  for (const specifier of importsOf(text)) {
    for (const { what, door, instead } of oneDoor) {
      if (what.test(specifier) && !path.startsWith(door))
        faults.push(`${path}: ${specifier} enters only through ${door}; use ${instead}`);
    }
    const target = specifier.startsWith('.')
      ? relative(root, resolve(root, dirname(path), specifier)).replaceAll('\\', '/')
      : /^native-free-rdc(\/|$)/.test(specifier)
        ? 'native-free-rdc'
        : undefined;
    // Data, not a room: the command line reads its own version there.
    if (target === undefined || target === 'package.json') continue;
    const to = roomOf(target);
    if (to !== room && !mayImport[room]?.includes(to)) faults.push(`${path}: ${room} may not import ${to}`);
    if (room === 'src/roles' && to === room && !target.endsWith('/role.ts')) {
      faults.push(`${path}: a role never imports another role; talk through the queue or the journal`);
    }
  }
  // Examples in comments may do what code may not.
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  for (const { what, doors, instead } of bannedText) {
    if (what.test(what.source.includes('TODO') ? text : code) && !doors.some((door) => path.startsWith(door))) {
      faults.push(`${path}: ${what.source} is allowed only in ${doors.join(', ') || 'no file'}; use ${instead}`);
    }
  }
  if (bannedPath.test(path)) faults.push(`${path}: name the file after the thing in it`);
  const lineCount = text.split('\n').length - 1;
  if (lineCount > (longFiles[path] ?? lineCountMax))
    faults.push(`${path}: ${lineCount} lines; split it, ${lineCountMax} are enough for one noun`);
  return faults;
}

test('imports point downwards, outside things enter by one door, files stay short', () => {
  assert.ok(sources.length > 50, 'the sources were not found');
  assert.deepEqual(
    sources.flatMap((path) => faultsOf(path, readFileSync(join(root, path), 'utf8'))),
    [],
  );
});

test('the rules catch planted faults', () => {
  const planted: readonly [string, string, RegExp][] = [
    ['src/model/site.ts', "import '../engine/store/ingest.ts';", /may not import src\/engine\/store/],
    ['src/wire/http.ts', "import type { World } from '../world/world.ts';", /may not import src\/world/],
    ['src/roles/sender.ts', "const other = await import('./scheduler.ts');", /never imports another role/],
    ['src/engine/spool/inbox.ts', "import { readFile } from 'node:fs/promises';", /enters only through src\/world/],
    ['src/engine/queue/queue.ts', 'const now = Date.now();', /use world\.clock/],
    ['src/engine/queue/queue.ts', 'const later = setTimeout(() => {}, 1);', /use world\.clock\.sleep/],
    ['src/site.ts', 'const salt = Math.random();', /use world\.random/],
    ['src/model/utils.ts', '', /name the file after the thing in it/],
    ['src/model/site.ts', '\n'.repeat(lineCountMax + 1), /split it/],
  ];
  for (const [path, text, expected] of planted) assert.match(faultsOf(path, text).join('\n'), expected, path);
});

test('no files import each other in a circle', () => {
  const open: string[] = [];
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string): void => {
    if (done.has(path) || !existsSync(join(root, path))) return;
    if (open.includes(path)) return void circles.push([...open.slice(open.indexOf(path)), path].join(' -> '));
    open.push(path);
    for (const specifier of importsOf(readFileSync(join(root, path), 'utf8'))) {
      if (specifier.startsWith('.'))
        visit(relative(root, resolve(root, dirname(path), specifier)).replaceAll('\\', '/'));
    }
    open.pop();
    done.add(path);
  };
  for (const path of sources) visit(path);
  assert.deepEqual(circles, []);
});

test('every source file is reached from an entry point', () => {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path) || !existsSync(join(root, path))) return;
    reached.add(path);
    for (const specifier of importsOf(readFileSync(join(root, path), 'utf8'))) {
      if (specifier === 'native-free-rdc') visit('native-free-rdc/src/index.ts');
      if (specifier.startsWith('.'))
        visit(relative(root, resolve(root, dirname(path), specifier)).replaceAll('\\', '/'));
    }
  };
  const entryPoints = ['src/index.ts', 'src/worker.ts', 'src/cli/main.ts', 'src/world/database-check.ts'];
  for (const path of entryPoints) visit(path);
  assert.deepEqual(
    sources.filter((path) => !reached.has(path)),
    [],
  );
});

test('nothing of a workplace is in the project', () => {
  const texts = globSync('{src,test,bench,native-free-rdc,.ci}/**/*.{ts,js,md,json}', {
    cwd: root,
    exclude: ['**/node_modules/**'],
  });
  const marks = new RegExp(['/wor' + 'k/', '\\.lib' + 'rary', 'registry\\.npm' + 'js'].join('|'));
  const found = [...texts, 'README.md', 'package.json', 'package-lock.json'].filter(
    (path) => existsSync(join(root, path)) && marks.test(readFileSync(join(root, path), 'utf8')),
  );
  assert.deepEqual(found, []);
});
