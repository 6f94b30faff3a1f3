/**
 * Makes the package that people install: JavaScript and declarations in `dist`, the README, the formats, the licence.
 *
 *     npm run pack -- [FOLDER]      writes native-free-rdc-VERSION.tgz into FOLDER, by default the current one
 *
 * A plain `npm pack` would not do: in the checkout `exports` names the sources, which run as they are, but under
 * `node_modules` Node refuses to strip types; and npm's `publishConfig` cannot replace `exports`, as pnpm's can. So the
 * package is staged in a temporary folder and packed there, and nothing in the checkout changes, not even for a
 * moment. `private` and `prepack` keep the checkout itself from being packed.
 *
 * No source maps: what tsc makes of erasable TypeScript is the source less its types, comments included, and maps
 * would have to bring the sources along.
 */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const here = import.meta.dirname;
const documents: readonly string[] = [join(here, 'README.md'), join(here, 'FORMAT.md'), join(here, '..', 'LICENSE')];

/** The text of the package.json to publish: what `exports` names in `src` is named in `dist`. */
async function publishedManifest(): Promise<string> {
  const manifest = JSON.parse(await readFile(join(here, 'package.json'), 'utf8')) as {
    exports: Record<string, string>;
  };
  const exports: Record<string, unknown> = {};
  for (const [name, source] of Object.entries(manifest.exports)) {
    const compiled = source.replace(/^\.\/src\/(.*)\.ts$/, './dist/$1');
    if (compiled === source) throw new Error(`Cannot publish ${source} as ${name}: expected ./src/NAME.ts`);
    exports[name] = { types: `${compiled}.d.ts`, default: `${compiled}.js` };
  }
  const published = { ...manifest, exports, files: ['dist', 'FORMAT.md'], private: undefined, scripts: undefined };
  return `${JSON.stringify(published, null, 2)}\n`;
}

/** Compiles into `folder`. Throws with the compiler's words; on an error of types nothing is written. */
async function compile(folder: string): Promise<void> {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const project = join(here, 'tsconfig.build.json');
  await run(process.execPath, [compiler, '--project', project, '--outDir', folder]).catch((error) => {
    throw new Error(`Cannot compile native-free-rdc: ${error.stdout}`, { cause: error });
  });
}

/** Runs npm in `folder` and no script of any package. What an npm around us was told does not concern this one. */
export async function npm(args: readonly string[], folder: string): Promise<void> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  await run('npm', [...args, ...options], { cwd: folder, env, shell: process.platform === 'win32' });
}

/** Packs `folder` as it is, offline; returns the path of the tarball, in `into`. */
export async function packFolder(folder: string, into: string): Promise<string> {
  const staging = await mkdtemp(join(tmpdir(), 'native-free-rdc-tarball-'));
  try {
    await npm(['pack', '--offline', `--pack-destination=${staging}`], folder);
    const [tarball] = await readdir(staging);
    if (tarball === undefined) throw new Error(`Cannot pack ${folder}: npm wrote no tarball`);
    await copyFile(join(staging, tarball), join(into, tarball));
    return join(into, tarball);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Packs the library into the folder `into`, which exists, and returns the tarball's path. */
export async function packLibrary(into: string): Promise<string> {
  const staging = await mkdtemp(join(tmpdir(), 'native-free-rdc-pack-'));
  try {
    await compile(join(staging, 'dist'));
    await writeFile(join(staging, 'package.json'), await publishedManifest());
    for (const document of documents) await copyFile(document, join(staging, basename(document)));
    return await packFolder(staging, into);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const into = resolve(process.argv[2] ?? '.');
  await mkdir(into, { recursive: true });
  console.log(await packLibrary(into));
}
