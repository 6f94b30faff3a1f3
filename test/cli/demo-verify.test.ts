import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type Folder, readFolder } from '../../src/cli/demo/folder.ts';
import { verifyVersion } from '../../src/cli/demo/verify.ts';
import { NodeClient } from '../../src/cli/node-client.ts';
import type { ContentId } from '../../src/model/content.ts';
import type { PackageId } from '../../src/model/package.ts';
import { encodeManifest } from '../../src/wire/manifest.ts';
import { realClock } from '../../src/world/clock.ts';
import type { OutgoingResponse } from '../../src/world/network.ts';
import { realFiles } from '../../src/world/real-files.ts';
import { realNetwork } from '../../src/world/real-network.ts';

const signal = new AbortController().signal;
const packageId = 'P0100001' as PackageId;
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

let root = '';
let folder: Folder;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'siteferry-verify-'));
  await writeFile(join(root, 'a b'), 'first');
  await writeFile(join(root, 'c'), 'second');
  folder = await readFolder(realFiles(), root, signal);
});
after(() => rm(root, { recursive: true }));

/** What `verifyVersion` finds at a node that serves the right manifest and these bodies; `undefined`: it has none. */
async function faultsWith(bodies: Readonly<Record<string, string | undefined>>): Promise<readonly string[]> {
  const entries = [...folder.entries].flatMap(([path, entry]) =>
    entry.kind !== 'file' ? [] : [{ ...entry, path, content: entry.sha256 as ContentId }],
  );
  const manifest = encodeManifest({ packageId, packageName: 'demo', version: 1, createdMs: 0, entries });
  const handle = async ({ path }: { readonly path: string }): Promise<OutgoingResponse> => {
    if (path.endsWith('/manifest')) return { status: 200, body: manifest };
    const body = bodies[decodeURIComponent(path.split('/').at(-1) ?? '')];
    if (body !== undefined) return { status: 200, body: bytesOf(body) };
    const error = { code: 'content-missing', message: 'not here' };
    return { status: 404, body: bytesOf(JSON.stringify({ error })) };
  };
  const network = realNetwork();
  await using server = await network.serve({ host: '127.0.0.1', port: 0, handle, connectionCountMax: 16 });
  await using client = new NodeClient(network, { name: 'C01', origin: server.origin, token: 'token' });
  const version = { packageId, version: 1, folder };
  return await verifyVersion({ clock: realClock() }, client, version, { signal, onFile: () => undefined });
}

test('verifyVersion() accepts a node that serves every byte', async () => {
  assert.deepEqual(await faultsWith({ 'a b': 'first', c: 'second' }), []);
});

test('verifyVersion() finds a flipped, a short, a long and a missing file behind a right manifest', async () => {
  assert.match((await faultsWith({ 'a b': 'fiRst', c: 'second' })).join(), /^a b: has SHA-256 [0-9a-f]{64}$/);
  assert.match((await faultsWith({ 'a b': 'firs', c: 'second' })).join(), /^a b: has SHA-256/);
  assert.match(
    (await faultsWith({ 'a b': 'first', c: 'second and more' })).join(),
    /^c: is longer than in the source$/,
  );
  assert.match((await faultsWith({ 'a b': 'first', c: undefined })).join(), /^c: content-missing: not here$/);
});
