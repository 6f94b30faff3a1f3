/**
 * The proof: downloads every file of a version from a node, as a client would, and compares its SHA-256 with the source
 * folder. Believes nothing the node says about itself.
 */
import { createHash } from 'node:crypto';
import pLimit from 'p-limit';
import { ReplicationError } from '../../errors.ts';
import { limits } from '../../model/limits.ts';
import type { PackageId } from '../../model/package.ts';
import { httpPaths } from '../../wire/http.ts';
import { decodeManifest } from '../../wire/manifest.ts';
import type { NodeClient } from '../node-client.ts';
import { readBody } from '../node-client.ts';
import type { Shell } from '../shell.ts';
import { type Folder, manifestFaults } from './folder.ts';
import { untilAnswered } from './patience.ts';

/** Requests to one node at once. */
const requestCountMax = 8;
/** How many differences are named. */
const namedFaultCountMax = 10;

export interface Version {
  readonly packageId: PackageId;
  readonly version: number;
  readonly folder: Folder;
}

/** What is wrong with `version` at a node; empty when all is right. `onFile` is told after each file. */
export async function verifyVersion(
  shell: Pick<Shell, 'clock'>,
  client: NodeClient,
  { packageId, version, folder }: Version,
  options: { readonly signal: AbortSignal; readonly onFile: () => void },
): Promise<readonly string[]> {
  const { signal, onFile } = options;
  const ask = <Answer>(question: () => Promise<Answer>): Promise<Answer> =>
    untilAnswered(shell.clock, signal, question);
  const fetchManifest = async (): Promise<Uint8Array> =>
    readBody(
      await client.send({ method: 'GET', path: httpPaths.manifest(packageId, version) }, signal),
      limits.manifestBytesMax,
    );
  const manifestBytes = await ask(fetchManifest).catch(refusal);
  if (typeof manifestBytes === 'string') return [`the manifest: ${manifestBytes}`];
  const faults = manifestFaults(folder, decodeManifest(manifestBytes));

  const atOnce = pLimit(requestCountMax);
  const checks = [...folder.entries].map(([path, entry]) =>
    atOnce(async () => {
      if (entry.kind !== 'file' || faults.length >= namedFaultCountMax) return;
      const url = httpPaths.file(packageId, version, path);
      const got = await ask(() => download(client, url, entry.bytes, signal)).catch(refusal);
      if (got !== entry.sha256) faults.push(`${path}: ${/^[0-9a-f]{64}$/.test(got) ? `has SHA-256 ${got}` : got}`);
      onFile();
    }),
  );
  await Promise.all(checks);
  return faults.slice(0, namedFaultCountMax);
}

/** What a node refuses is a finding about that node; what ends the demo goes on up. */
function refusal(error: unknown): string {
  if (error instanceof ReplicationError) return `${error.code}: ${error.message}`;
  throw error;
}

/** SHA-256 of what the node sends, of which no more than one byte too many is read. */
async function download(client: NodeClient, path: string, bytesMax: number, signal: AbortSignal): Promise<string> {
  const response = await client.send({ method: 'GET', path }, signal);
  const sha256 = createHash('sha256');
  let bytes = 0;
  for await (const block of response.body) {
    sha256.update(block);
    bytes += block.byteLength;
    if (bytes > bytesMax) return 'is longer than in the source';
  }
  return sha256.digest('hex');
}
