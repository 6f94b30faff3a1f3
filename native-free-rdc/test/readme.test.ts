import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { decodeSignature, encodeSignature } from '../src/index.ts';
import { apply, deltaOf, sign, storeRaw } from './material.ts';

const folder = new URL('..', import.meta.url);

/** The bytes of the examples in FORMAT.md: the hexadecimal column of each block. */
async function examplesOfFormat(): Promise<string[]> {
  const format = await readFile(new URL('FORMAT.md', folder), 'utf8');
  return [...format.matchAll(/```text\n(.*?)```/gs)].map(([, block]) =>
    [...(block as string).matchAll(/^[0-9a-f]+/gm)].join(''),
  );
}

test('the example in README.md is the one that runs here', async (t) => {
  const example = await readFile(new URL('test/readme-example.ts', folder), 'utf8');
  assert.ok((await readFile(new URL('README.md', folder), 'utf8')).includes(example));
  const said = t.mock.method(console, 'log', () => {});
  await import('./readme-example.ts');
  assert.match(String(said.mock.calls[0]?.arguments[0]), /^1000012 bytes rebuilt: true; [12]?\d{4} travelled$/);
});

test('the signature and the delta in FORMAT.md are what is written and read', async () => {
  const [signature, delta] = (await examplesOfFormat()) as [string, string];
  const letter = Uint8Array.of(0x41);
  const nothing = new Uint8Array(0);
  assert.equal(Buffer.from(encodeSignature(await sign(letter))).toString('hex'), signature);
  assert.deepEqual(decodeSignature(Buffer.from(signature, 'hex')), await sign(letter));
  assert.equal((await deltaOf(nothing, letter, { compress: storeRaw })).toString('hex'), delta);
  assert.deepEqual(await apply(nothing, Buffer.from(delta, 'hex')), Buffer.from(letter));
});
