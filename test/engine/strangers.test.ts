/** What somebody without a token, or with a small manifest and bad intent, can do: nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRouter } from '../../src/engine/transfer/router.ts';
import { encodeFrame } from '../../src/wire/frame.ts';
import { nodeProof } from '../../src/wire/http.ts';
import { decodeManifest } from '../../src/wire/manifest.ts';
import { encodeOwn } from '../../src/wire/msgpack.ts';

const tokens = { admin: 'a'.repeat(32), feed: 'f'.repeat(32), peer: 'p'.repeat(32) };
const router = createRouter([], tokens, () => {});

async function get(
  path: string,
): Promise<{ status: number; headers: Readonly<Record<string, string | undefined>>; text: string }> {
  const request = {
    method: 'GET',
    path,
    headers: {},
    body: (async function* () {})(),
    signal: new AbortController().signal,
  };
  const { status, headers = {}, body } = await router(request);
  assert.ok(body instanceof Uint8Array);
  return { status, headers, text: Buffer.from(body).toString() };
}

test('a stranger is refused and its connection closed, whatever it asks for', async () => {
  for (const path of ['/', '/v1/node', '/v1/status', '/v1/nothing', '//', '/v1/proof', '/v1/proof?nonce=short']) {
    const { status, headers } = await get(path);
    assert.deepEqual([status, headers['connection']], [401, 'close'], path);
  }
});

test('a node proves that it has the admin token, and shows nothing of it', async () => {
  const nonce = '0'.repeat(64);
  const { status, text } = await get(`/v1/proof?nonce=${nonce}`);
  assert.equal(status, 200);
  assert.equal(JSON.parse(text).proof, nodeProof(tokens.admin, nonce));
  assert.notEqual(JSON.parse(text).proof, nodeProof('b'.repeat(32), nonce));
  assert.ok(!text.includes(tokens.admin));
});

test('decodeManifest() stops at the first of very many bad entries', () => {
  const entries = Array.from({ length: 200_000 }, () => [null, null, null, null, null]);
  const body = encodeOwn({ package: 'P0100001', name: 'editor', version: 1, createdMs: 0, entries });
  const bytes = encodeFrame({ magic: 'SFMF', version: 1, bodyBytesMax: 1e9, noun: 'manifest' }, body);
  assert.throws(
    () => decodeManifest(bytes),
    (error) => error instanceof Error && error.message.length < 200 && /an entry has no path/.test(error.message),
  );
});
