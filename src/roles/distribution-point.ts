/**
 * Distribution point: serves what the library holds, by package, version and path, in ranges. It promises no more than
 * a static web server could: branches and clients pull.
 */
import type { Engine } from '../engine/engine.ts';
import { readFileBlocks } from '../engine/spool/outbox.ts';
import { readContent, readVerified } from '../engine/store/content-store.ts';
import { decodeQuestion, encodeMissing } from '../engine/transfer/inventory.ts';
import { jsonResponse, type Route, type RoutedRequest, readBody } from '../engine/transfer/router.ts';
import { ReplicationError } from '../errors.ts';
import type { ByteRange, ContentId } from '../model/content.ts';
import { limits } from '../model/limits.ts';
import { isPackageId, type PackageId, type Version } from '../model/package.ts';
import { contentHintBytes, type HeldPackagesMessage } from '../wire/api.ts';
import { contentRangeField, contentTypes, entityTag, parseRange } from '../wire/http.ts';
import { comparePaths, type FileEntry, type Manifest } from '../wire/manifest.ts';
import type { OutgoingResponse } from '../world/network.ts';

export function distributionPointRoutes(engine: Engine): Route[] {
  const versionPattern = '/v1/packages/:id/versions/:version';
  const both = (pattern: string, handle: Route['handle']): Route[] =>
    ['GET', 'HEAD'].map((method) => ({ method, pattern, access: 'peer', handle }));
  return [
    {
      method: 'GET',
      pattern: '/v1/packages',
      access: 'peer',
      handle: async () => jsonResponse(200, await heldPackages(engine)),
    },
    {
      method: 'POST',
      pattern: '/v1/contents/missing',
      access: 'peer',
      handle: (routed) => answerMissing(engine, routed),
    },
    ...both(`${versionPattern}/manifest`, (routed) => serveManifest(engine, routed)),
    ...both(`${versionPattern}/payload`, (routed) => servePayload(engine, routed)),
    ...both(`${versionPattern}/files/*`, (routed) => serveFile(engine, routed)),
  ];
}

/** Only versions that are whole are claimed: what feeds this node then sends what is missing. */
async function heldPackages({ catalog, completeness }: Engine): Promise<HeldPackagesMessage> {
  const packages: HeldPackagesMessage['packages'] = [];
  for (const { id, name } of catalog.packages()) {
    const version = await completeness.newestWhole(id);
    if (version === 0) continue;
    const { identity } = await catalog.manifestFile(id, version);
    packages.push({ id, name, version, manifest: identity });
  }
  return { packages };
}

async function answerMissing({ store }: Engine, { request }: RoutedRequest): Promise<OutgoingResponse> {
  const hints = decodeQuestion(await readBody(request, limits.missingQuestionCountMax * contentHintBytes));
  if (hints === undefined)
    throw new ReplicationError('usage', `Cannot answer: a question has ${contentHintBytes} bytes per content`);
  const body = encodeMissing(hints.map((hint) => store.startingWith(hint).length === 0));
  return { status: 200, headers: { 'content-type': contentTypes.bytes }, body };
}

interface Target {
  readonly packageId: PackageId;
  readonly version: Version;
}

/** Throws `content-missing` (404) unless this node has installed the version that is asked for. */
function targetOf({ catalog }: Engine, { params }: RoutedRequest): Target {
  const packageId = params['id'] ?? '';
  const version = Number(params['version']);
  if (isPackageId(packageId) && catalog.versions(packageId).includes(version)) return { packageId, version };
  throw new ReplicationError('content-missing', 'This node does not hold that version of that package');
}

async function serveManifest(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { packageId, version } = targetOf(engine, routed);
  const { path, identity, bytes } = await engine.catalog.manifestFile(packageId, version);
  return represent(routed, { identity, bytes, read: (range) => readFileRange(engine, path, range) });
}

/** A payload that is not ready is made, and 202 says: ask again. */
async function servePayload(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { catalog, outbox, queue } = engine;
  const target = targetOf(engine, routed);
  const basisVersion = Number(routed.query.get('basis') ?? '0');
  const file = await outbox.find({ ...target, basisVersion, variant: '' });
  if (file === undefined || !(await outbox.isIntact(file))) {
    const isPossible =
      basisVersion === 0 ||
      (basisVersion < target.version && catalog.versions(target.packageId).includes(basisVersion));
    if (!isPossible)
      throw new ReplicationError('content-missing', 'This node cannot make that payload: it does not hold the basis');
    const key = `${target.packageId}/${basisVersion}-${target.version}`;
    await queue.put('prepare', key, { ...target, basisVersion }, { keepWaiting: true });
    return { status: 202, headers: { 'retry-after': '1' } };
  }
  return represent(routed, {
    identity: file.sha256,
    bytes: file.bytes,
    read: (range) => readFileRange(engine, file.path, range),
  });
}

async function serveFile(engine: Engine, routed: RoutedRequest): Promise<OutgoingResponse> {
  const { packageId, version } = targetOf(engine, routed);
  const entry = fileAt(await engine.catalog.manifest(packageId, version), routed.params['*'] ?? '');
  if (entry === undefined) throw new ReplicationError('content-missing', 'There is no such file in that version');
  const { content: identity, bytes } = entry;
  // Whether it can be read at all is better told by a status than by a cut connection.
  await (await engine.store.open(identity))[Symbol.asyncDispose]();
  const read = (range: ByteRange): AsyncIterable<Uint8Array> =>
    range.startByte === 0 && range.endByte === bytes
      ? readVerified(engine.store, identity)
      : readContent(engine.store, identity, range);
  return represent(routed, { identity, bytes, read });
}

/** Entries are ordered by path: halve the interval. */
function fileAt({ entries }: Manifest, path: string): FileEntry | undefined {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (comparePaths(entries[middle]?.path ?? '', path) < 0) low = middle + 1;
    else high = middle;
  }
  const entry = entries[low];
  return entry?.kind === 'file' && entry.path === path ? entry : undefined;
}

interface Served {
  readonly identity: ContentId;
  readonly bytes: number;
  readonly read: (range: ByteRange) => AsyncIterable<Uint8Array>;
}

/** RFC 9110: `If-None-Match`, then `If-Range` (strong comparison), then `Range`. */
function represent({ request }: RoutedRequest, served: Served): OutgoingResponse {
  const etag = entityTag(served.identity);
  const headers = { etag, 'accept-ranges': 'bytes', 'content-type': contentTypes.bytes };
  if (request.headers['if-none-match'] === etag) return { status: 304, headers };
  const ifRange = request.headers['if-range'];
  const field =
    request.method === 'GET' && (ifRange === undefined || ifRange === etag) ? request.headers['range'] : undefined;
  const asked = parseRange(field, served.bytes);
  if (asked === 'unsatisfiable')
    return { status: 416, headers: { ...headers, 'content-range': `bytes */${served.bytes}` } };
  const range = asked === 'whole' ? { startByte: 0, endByte: served.bytes } : asked;
  const partial = asked === 'whole' ? {} : { 'content-range': contentRangeField(range, served.bytes) };
  const length = { 'content-length': String(range.endByte - range.startByte) };
  const status = asked === 'whole' ? 200 : 206;
  if (request.method === 'HEAD') return { status, headers: { ...headers, ...length } };
  return { status, headers: { ...headers, ...partial, ...length }, body: served.read(range) };
}

function readFileRange({ world }: Engine, path: string, { startByte, endByte }: ByteRange): AsyncIterable<Uint8Array> {
  return take(readFileBlocks(world.files, path, startByte), endByte - startByte);
}

/** The first `bytes` bytes of a stream. */
async function* take(source: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes;
  if (left === 0) return;
  for await (const block of source) {
    yield block.subarray(0, left);
    left -= block.byteLength;
    if (left <= 0) return;
  }
}
