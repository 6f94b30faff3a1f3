/**
 * What people install: the tarball of `npm run pack`, installed offline into an empty project, beside the checkout's
 * own `xxhash-wasm`. It has to be small and complete, to do on every Node we promise what the sources do here, and to
 * bring types that stand without Node's. The other Nodes come with `npm install`, each inside an otherwise empty package
 * of `test/nodes`: of two packages with a `node` command side by side, the one installed last would be on the PATH.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import ts from 'typescript';
import { npm, packFolder, packLibrary } from '../pack.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');

/** Folders whose `node_modules` hold the Nodes that run the packed library. */
const nodeHomes: readonly string[] = ['node_modules/node-22', '.', 'node_modules/node-26'];

/** What we say of the size of an install. Raising one of these is a decision; say so in README.md. */
const tarballBytesMax = 128 * 1024;
const installedBytesMax = 640 * 1024;

let project: string;
let tarballBytes: number;
/** What `package-consumer.ts` says of the sources, on this Node. */
let fromSources: string;

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'native-free-rdc-consumer-'));
  const tarball = await packLibrary(project);
  tarballBytes = (await stat(tarball)).size;
  const dependency = await packFolder(join(root, 'node_modules/xxhash-wasm'), project);
  const dependencies = {
    'native-free-rdc': `file:${basename(tarball)}`,
    'xxhash-wasm': `file:${basename(dependency)}`,
  };
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
  await npm(['install', '--offline', '--engine-strict', '--no-package-lock'], project);
  for (const program of ['package-consumer.ts', 'readme-example.ts']) {
    await copyFile(join(import.meta.dirname, program), join(project, program));
  }
  fromSources = (await run(process.execPath, [join(import.meta.dirname, 'package-consumer.ts')])).stdout;
});

after(() => rm(project, { recursive: true, force: true }));

/** Paths of all files below `folder`, with slashes, sorted. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    )
    .sort();
}

async function jsonOf(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
}

/** What the compiler says of a consumer's programs: our declarations, and Node's, are checked too. */
function faultsOfTypes(programs: readonly string[], options: ts.CompilerOptions): string[] {
  const files = programs.map((program) => join(project, program));
  const compiled = ts.createProgram(files, {
    ...options,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    module: ts.ModuleKind.NodeNext,
  });
  return ts
    .getPreEmitDiagnostics(compiled)
    .map(({ code, file, messageText }) => `${basename(file?.fileName ?? '')} ${code}: ${JSON.stringify(messageText)}`);
}

test('the package installs alone with xxhash-wasm, holds what it should and stays small', async (t) => {
  const modules = join(project, 'node_modules');
  const installed = (await readdir(modules)).filter((name) => !name.startsWith('.'));
  assert.deepEqual(installed.sort(), ['native-free-rdc', 'xxhash-wasm']);

  const sources = await filesIn(join(root, 'native-free-rdc/src'));
  const compiled = sources.flatMap((path) =>
    ['.d.ts', '.js'].map((end) => `dist/${path.slice(0, -'.ts'.length)}${end}`),
  );
  assert.ok(compiled.includes('dist/index.js'));
  const expected = [...compiled, 'FORMAT.md', 'LICENSE', 'README.md', 'package.json'].sort();
  assert.deepEqual(await filesIn(join(modules, 'native-free-rdc')), expected);

  const manifest = await jsonOf(join(modules, 'native-free-rdc/package.json'));
  assert.deepEqual(Object.keys(manifest['dependencies'] as object), ['xxhash-wasm']);
  for (const field of ['private', 'scripts', 'devDependencies']) assert.ok(!(field in manifest), field);

  let installedBytes = 0;
  for (const name of installed) {
    for (const path of await filesIn(join(modules, name)))
      installedBytes += (await stat(join(modules, name, path))).size;
  }
  t.diagnostic(`tarball ${tarballBytes} bytes, installed with xxhash-wasm ${installedBytes} bytes`);
  assert.ok(
    tarballBytes <= tarballBytesMax,
    `the tarball has ${tarballBytes} bytes, expected at most ${tarballBytesMax}`,
  );
  assert.ok(
    installedBytes <= installedBytesMax,
    `installed ${installedBytes} bytes, expected at most ${installedBytesMax}`,
  );
});

test('the shipped types accept right programs and refuse wrong ones, without the types of Node', async () => {
  const withNode = { target: ts.ScriptTarget.ESNext, types: ['node'], typeRoots: [join(root, 'node_modules/@types')] };
  assert.deepEqual(faultsOfTypes(['package-consumer.ts', 'readme-example.ts'], withNode), []);

  const bare = { target: ts.ScriptTarget.ES2022, lib: ['lib.es2022.d.ts'], types: [] };
  const wrong =
    "import { Chunker, chunkParametersFor } from 'native-free-rdc';\nnew Chunker(chunkParametersFor('many'));\n";
  await writeFile(join(project, 'right.ts'), wrong.replace("'many'", '1'));
  assert.deepEqual(faultsOfTypes(['right.ts'], bare), []);
  await writeFile(join(project, 'wrong.ts'), wrong);
  const [fault, ...others] = faultsOfTypes(['wrong.ts'], bare);
  assert.match(String(fault), /^wrong\.ts 2345: /);
  assert.deepEqual(others, []);
});

test('the Nodes that run the package are the oldest promised, ours and a newer one', async () => {
  const versions: string[] = [];
  for (const home of nodeHomes) versions.push((await nodeIn(home)).version);
  for (const name of ['node-22', 'node-26']) {
    const wanted = await jsonOf(join(root, 'test/nodes', name.slice('node-'.length), 'package.json'));
    const { version } = await nodeIn(join('node_modules', name));
    assert.deepEqual(
      wanted['dependencies'],
      { node: version },
      'npm looks again only after npm install ./test/nodes/NN',
    );
  }
  const engines = (await jsonOf(join(root, 'native-free-rdc/package.json')))['engines'];
  assert.deepEqual(engines, { node: `>=${versions[0]}` });
  assert.deepEqual(versions.map(Number.parseFloat).map(Math.floor), [22, 24, 26]);
});

/** The Node that `npm install` put below `home`. */
async function nodeIn(home: string): Promise<{ version: string; executable: string }> {
  const folder = join(root, home, 'node_modules/node');
  const { version, bin } = await jsonOf(join(folder, 'package.json')).catch((error) => {
    throw new Error(`Cannot find a Node in ${home}: try npm install`, { cause: error });
  });
  return { version: String(version), executable: join(folder, (bin as { node: string }).node) };
}

for (const home of nodeHomes) {
  test(`the package does what its sources do, on the Node of ${home}`, async (t) => {
    const { version, executable } = await nodeIn(home);
    const said = async (command: string, args: readonly string[]) =>
      (await run(command, args, { cwd: project })).stdout;
    assert.equal(await said(executable, ['--version']), `v${version}\n`);
    const fromPackage = await said(executable, ['package-consumer.ts']);
    assert.ok(Object.keys(JSON.parse(fromSources)).length > 0);
    assert.equal(fromPackage, fromSources);
    assert.match(await said(executable, ['readme-example.ts']), /^1000012 bytes rebuilt: true; /);
    t.diagnostic(`ran on Node ${version}`);
  });
}

test('the consumer uses every export', async () => {
  const { exports } = await jsonOf(join(root, 'native-free-rdc/package.json'));
  const consumer = await readFile(join(import.meta.dirname, 'package-consumer.ts'), 'utf8');
  const unused: string[] = [];
  for (const entry of Object.keys(exports as object)) {
    const library = (await import(`native-free-rdc${entry.slice(1)}`)) as object;
    unused.push(...Object.keys(library).filter((name) => !new RegExp(`\\b${name}\\b`).test(consumer)));
  }
  assert.deepEqual(unused, [], 'use these exports in package-consumer.ts, so that they run on every Node');
});
