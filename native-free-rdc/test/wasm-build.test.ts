import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { compiledModule, kernelNames } from '../wasm/build.ts';

const modules = new URL('../src/wasm/', import.meta.url);

test('every kernel is committed as the pinned compiler makes it from its source', async (t) => {
  const names = await kernelNames();
  assert.ok(names.length > 0, 'there is no kernel in native-free-rdc/wasm: were they moved?');
  for (const name of names) {
    await t.test(name, async () => {
      const committed = await readFile(new URL(`${name}.ts`, modules), 'utf8');
      assert.ok(
        committed === (await compiledModule(name)),
        `src/wasm/${name}.ts is not its source compiled: npm run wasm`,
      );
    });
  }
});

test('every module in src/wasm has a source', async () => {
  const sourced = (await kernelNames()).map((name) => `${name}.ts`);
  assert.deepEqual((await readdir(modules)).sort(), sourced.sort());
});
