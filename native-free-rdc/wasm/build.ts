/**
 * Compiles the kernels: `wasm/NAME.as.ts` (AssemblyScript) becomes `src/wasm/NAME.ts`, a module that exports the
 * binary as base64, so that the library needs neither files nor a loader to start.
 *
 *     node native-free-rdc/wasm/build.ts            writes them
 *     node native-free-rdc/wasm/build.ts --check    says which are not what their source compiles to, and fails
 *
 * The compiler is pinned by the lockfile; the same source gives the same bytes on every machine.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import asc from 'assemblyscript/asc';

const sourceDirectory = new URL('./', import.meta.url);
const outputDirectory = new URL('../src/wasm/', import.meta.url);
const sourceSuffix = '.as.ts';
/** 100 characters of base64 to a line: readable diffs, no lint exceptions. */
const base64LineCharacters = 100;

/** Names of all kernels that have a source. */
export async function kernelNames(): Promise<string[]> {
  const files = await readdir(sourceDirectory);
  return files.filter((file) => file.endsWith(sourceSuffix)).map((file) => file.slice(0, -sourceSuffix.length));
}

/** The text of `src/wasm/NAME.ts` as the pinned compiler makes it now. Throws with the compiler's words. */
export async function compiledModule(name: string): Promise<string> {
  let binary: Uint8Array | undefined;
  const result = await asc.main(
    [
      `${name}${sourceSuffix}`,
      '-O3',
      '--noAssert',
      '--runtime',
      'stub',
      '--importMemory',
      '--enable',
      'simd',
      '-o',
      'out.wasm',
    ],
    {
      readFile: (file) => readFile(new URL(file, sourceDirectory), 'utf8').catch(() => null),
      writeFile: (_file, contents) => {
        binary = contents as Uint8Array;
      },
      listFiles: () => null,
    },
  );
  if (result.error !== null || binary === undefined) {
    throw new Error(`Cannot compile ${name}${sourceSuffix}: ${result.stderr.toString()}`, { cause: result.error });
  }
  const base64 = Buffer.from(binary).toString('base64');
  const lines: string[] = [];
  for (let at = 0; at < base64.length; at += base64LineCharacters) {
    lines.push(`  '${base64.slice(at, at + base64LineCharacters)}',`);
  }
  return [
    `// Compiled from wasm/${name}${sourceSuffix} by wasm/build.ts. Do not edit: change the source and build.`,
    'export const base64: string = [',
    ...lines,
    "].join('');",
    '',
  ].join('\n');
}

if (import.meta.main) {
  const isCheck = process.argv.includes('--check');
  for (const name of await kernelNames()) {
    const wanted = await compiledModule(name);
    const file = new URL(`${name}.ts`, outputDirectory);
    const found = await readFile(file, 'utf8').catch(() => '');
    if (found === wanted) continue;
    if (isCheck) {
      console.error(`src/wasm/${name}.ts is not what its source compiles to. Try: npm run wasm`);
      process.exitCode = 1;
    } else {
      await writeFile(file, wanted);
      console.log(`src/wasm/${name}.ts written, ${wanted.length} characters`);
    }
  }
}
