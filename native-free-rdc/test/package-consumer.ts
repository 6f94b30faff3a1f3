/**
 * A program of somebody who installed the library. It uses every export, on inputs that are always the same, and
 * prints what came out as JSON. `package.test.ts` runs it on the sources and, on each Node we promise, on the packed
 * library: the lines have to be equal. zstd's frames differ from one release of Node to the next, so that deltas are
 * compared uncompressed; compressed ones only have to be read back.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import {
  type Anchors,
  type AnswerNeedsOptions,
  type ApplyDeltaOptions,
  type ApplyJobs,
  answerNeeds,
  applyDelta,
  BASIS_BYTES_MAX,
  type BasisReader,
  type BlockScan,
  type ByteSource,
  blockDigestsOf,
  Chunker,
  type ChunkParameters,
  type CreateDeltaOptions,
  type CreateDiffOptions,
  type CreateSignatureOptions,
  chunkParametersFor,
  combineSignatures,
  completeSignature,
  concatenatedBasis,
  createDelta,
  createDiff,
  createMsRdcSignatures,
  createSignature,
  DELTA_FORMAT_VERSION,
  DELTA_HEADER_BYTES,
  type Decompress,
  type DeltaHeader,
  type DeltaIndex,
  type DeltaSummary,
  type DiffJobs,
  type DiffLevel,
  type DiffSegment,
  type DiffSummary,
  decodeNeeds,
  decodeOutline,
  decodeSignature,
  diffSegment,
  type EncodedColumn,
  type Extent,
  encodeNeeds,
  encodeOutline,
  encodeRecords,
  encodeSignature,
  FROM_FETCH,
  FROM_TARGET,
  joinSpans,
  MS_RDC_CHUNK_BYTES_MAX,
  MS_RDC_HEADER_BYTES,
  MS_RDC_HORIZON_BYTES_MAX,
  MS_RDC_HORIZON_BYTES_MIN,
  MS_RDC_LEVEL_COUNT_MAX,
  MS_RDC_RECORD_BYTES,
  MS_RDC_TRAIT_COUNT,
  MS_RDC_WINDOW_BYTES_MAX,
  MS_RDC_WINDOW_BYTES_MIN,
  MsRdcChunker,
  type MsRdcNeed,
  type MsRdcParameters,
  type MsRdcSignature,
  MsRdcSigner,
  msRdcLevelCountFor,
  msRdcLevels,
  msRdcNeeds,
  msRdcTraitMatchCount,
  msRdcTraits,
  NEEDS_FORMAT_VERSION,
  type NeedList,
  type NeedPlan,
  OUTLINE_FORMAT_VERSION,
  outlineOf,
  outlinePays,
  type PlanNeedsOptions,
  planNeeds,
  RDC_ERROR_CODES,
  RdcError,
  type RdcErrorCode,
  type ReadMsRdcSignatureOptions,
  readAnswer,
  readDeltaHeader,
  readDeltaIndex,
  readMsRdcSignature,
  rebuildRange,
  rebuildSegment,
  rebuildTarget,
  recordNeedsOf,
  SALT_BYTES,
  type ScanJobs,
  type ScanOrder,
  SEGMENT_BYTES_MAX,
  type SegmentInput,
  type SegmentParts,
  type SegmentPlace,
  SIGNATURE_FORMAT_VERSION,
  type Signature,
  type SignatureKind,
  type SignatureOutline,
  type Span,
  type SpanOptions,
  type SpanSignature,
  scanBlock,
  signSpan,
  spanInputOf,
  spansOf,
  type TargetRange,
  type TargetSources,
  TreeHash,
  transferablesOf,
  treeHashOf,
  treeHashOfBasis,
  type WorkAhead,
} from 'native-free-rdc';

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Bytes that do not repeat: SHA-256 of a counter. */
function noise(bytes: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(bytes / 32) }, (_, index) =>
    createHash('sha256').update(`block ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, bytes);
}

async function collect(source: ByteSource): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

function readerOf(content: Buffer): BasisReader {
  return {
    bytes: content.length,
    read: async (offset, into) => content.copy(into, 0, offset, offset + into.length),
  };
}

async function codeOf(promise: Promise<unknown>): Promise<RdcErrorCode> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof RdcError, `expected an RdcError, not ${error}`);
  assert.ok(RDC_ERROR_CODES.includes(error.code));
  return error.code;
}

const basis = noise(600_000);
const target = Buffer.concat([basis.subarray(250_000), Buffer.from('inserted'), basis.subarray(1_000, 300_000)]);
const salt = new Uint8Array(SALT_BYTES).fill(7);
const outcomes: Record<string, unknown> = {
  constants: [BASIS_BYTES_MAX, SEGMENT_BYTES_MAX, RDC_ERROR_CODES, FROM_FETCH, FROM_TARGET],
  versions: [DELTA_FORMAT_VERSION, NEEDS_FORMAT_VERSION, OUTLINE_FORMAT_VERSION, SIGNATURE_FORMAT_VERSION],
  msRdcConstants: [
    [MS_RDC_CHUNK_BYTES_MAX, MS_RDC_HEADER_BYTES, MS_RDC_RECORD_BYTES, MS_RDC_LEVEL_COUNT_MAX, MS_RDC_TRAIT_COUNT],
    [MS_RDC_HORIZON_BYTES_MIN, MS_RDC_HORIZON_BYTES_MAX, MS_RDC_WINDOW_BYTES_MIN, MS_RDC_WINDOW_BYTES_MAX],
  ],
};

/** Chunk lengths of the basis. */
function cutChunks(): void {
  const parameters: ChunkParameters = chunkParametersFor(basis.length);
  const chunker = new Chunker(parameters);
  const lengths: number[] = [];
  const take = (): void => {
    for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) lengths.push(chunk.length);
  };
  for (let taken = 0; taken < basis.length; ) {
    taken = chunker.feed(basis, taken);
    take();
  }
  chunker.end();
  take();
  outcomes['chunks'] = [parameters, lengths.length, sha256(Buffer.from(lengths.join()))];
}

/** A signature in one go, and the same from spans, of a file of several blocks. */
async function signInSpans(): Promise<void> {
  const file = Buffer.concat(Array.from({ length: 15 }, () => basis));
  const options: SpanOptions = { fileBytes: file.length, salt };
  const parts: SpanSignature[] = [];
  const spans: readonly Span[] = [...spansOf(file.length, 4 * 1024 * 1024)];
  for (const span of spans) {
    const { startByte, endByte } = spanInputOf(span, options);
    const part = await signSpan(file.subarray(startByte, endByte), span, options);
    parts.push(structuredClone(part, { transfer: transferablesOf(part) }));
  }
  const joined = encodeSignature(await joinSpans(parts, readerOf(file), options));
  const whole = encodeSignature(await createSignature([file], { basisBytes: file.length, salt }));
  assert.deepEqual(joined, whole);
  const treeHash = new TreeHash();
  treeHash.update(file);
  assert.deepEqual(treeHash.digest(), treeHashOf(blockDigestsOf(file), file.length));
  outcomes['spans'] = [parts.length, sha256(joined)];
}

async function signAndDiffer(): Promise<{ signature: Uint8Array; delta: Buffer }> {
  const signing: CreateSignatureOptions = { basisBytes: basis.length, salt };
  const encoded = encodeSignature(await createSignature([basis], signing));
  const signature: Signature = decodeSignature(encoded);
  outcomes['signature'] = [encoded.length, signature.chunkCount, sha256(encoded)];

  let summary: DeltaSummary | undefined;
  const uncompressed: CreateDeltaOptions = {
    compress: (bytes) => bytes,
    onSummary: (told) => {
      summary = told;
    },
  };
  const delta = await collect(createDelta(signature, [target], uncompressed));
  const header: DeltaHeader = readDeltaHeader(delta.subarray(0, DELTA_HEADER_BYTES));
  outcomes['delta'] = [delta.length, summary?.copyBytes, sha256(delta), header.basisBytes];
  const applying: ApplyDeltaOptions = { targetBytesMax: target.length };
  assert.deepEqual(await collect(applyDelta(readerOf(basis), [delta], applying)), target);

  const text = Buffer.from('thin links carry little, so little has to be carried; '.repeat(9_000));
  const compressed = await collect(createDelta(signature, [text]));
  assert.ok(compressed.length < text.length / 50);
  assert.deepEqual(await collect(applyDelta(readerOf(basis), [compressed])), text);
  const decompress: Decompress = (bytes, bytesMax) => zstdDecompressSync(bytes, { maxOutputLength: bytesMax });
  assert.deepEqual(await collect(applyDelta(readerOf(basis), [compressed], { decompress })), text);
  return { signature: encoded, delta };
}

async function fail({ signature, delta }: { signature: Uint8Array; delta: Buffer }): Promise<void> {
  const damaged = Buffer.from(delta);
  damaged.writeUInt8(delta.readUInt8(delta.length - 1) ^ 1, delta.length - 1);
  const codes: readonly RdcErrorCode[] = [
    await codeOf(collect(applyDelta(readerOf(basis), [damaged]))),
    await codeOf(collect(applyDelta(readerOf(basis), [delta.subarray(0, -1)]))),
    await codeOf(collect(applyDelta(readerOf(target), [delta]))),
    await codeOf(collect(applyDelta(readerOf(basis), [delta], { targetBytesMax: target.length - 1 }))),
    await codeOf((async () => decodeSignature(signature.subarray(1)))()),
  ];
  outcomes['codes'] = codes;
}

/** What each level writes depends on zstd's release, so that only what it undoes to, and what is counted, is told. */
async function diffBothSides(): Promise<void> {
  const reader = readerOf(basis);
  const levels: readonly DiffLevel[] = ['fast', 'default', 'best'];
  const counted: number[] = [];
  for (const level of levels) {
    const options: CreateDiffOptions = {
      level,
      onSummary: (told: DiffSummary) =>
        counted.push(told.targetBytes - told.copyBytes - told.addBytes - told.literalBytes),
    };
    const delta = await collect(createDiff(reader, [target], options));
    assert.ok(delta.length < 400, `${delta.length} bytes for a move and an insertion`);
    assert.deepEqual(await collect(applyDelta(reader, [delta])), target);
  }
  const extents: Extent[] = [];
  const segments: DiffSegment[] = [];
  const samples: Anchors[] = [];
  const scan = (block: Uint8Array, order: ScanOrder): BlockScan => {
    const found = scanBlock(block, order);
    if (found.anchors !== undefined) samples.push(found.anchors);
    return found;
  };
  scan(basis, { rateLog: 9, isHashed: false });
  const scanning: ScanJobs = { scanBlock: scan, aheadCount: 2 };
  assert.deepEqual(await treeHashOfBasis(reader, scanning), treeHashOf(blockDigestsOf(basis), basis.length));
  const jobs: DiffJobs = {
    ...scanning,
    diffSegment: async (input: SegmentInput) => {
      extents.push(...input.extents);
      const segment = await diffSegment(input);
      segments.push(segment);
      return segment;
    },
  };
  const elsewhere = await collect(createDiff(reader, [target], { jobs }));
  assert.deepEqual(elsewhere, await collect(createDiff(reader, [target])));
  const ahead: WorkAhead = { aheadCount: 3 };
  const literals: EncodedColumn[] = [];
  const applying: ApplyJobs = {
    rebuildSegment: async (parts: SegmentParts) => {
      literals.push(parts.columns.literals);
      return await rebuildSegment(parts);
    },
    ...ahead,
  };
  assert.deepEqual(await collect(applyDelta(reader, [elsewhere], { jobs: applying })), target);
  assert.equal(literals.length, segments.length);
  const index: DeltaIndex = await readDeltaIndex(readerOf(elsewhere));
  const range: TargetRange = { startByte: 12_345, endByte: 234_567 };
  const part = await collect(rebuildRange({ basis: reader, delta: readerOf(elsewhere), index }, range));
  assert.deepEqual(part, target.subarray(range.startByte, range.endByte));
  const place: SegmentPlace = index.segmentAt(0);
  outcomes['diff'] = [counted, extents, segments[0]?.copyBytes, place.targetBytes, sha256(Buffer.from(samples.join()))];
}

/** Several bases; needs and their answer; an outline in place of a signature. */
async function fetchNeeds(): Promise<void> {
  const kind: SignatureKind = { salt, hashBytes: 6, parameters: { horizonBytes: 64, chunkBytesMax: 1024 } };
  const sign = (bytes: Buffer): Promise<Signature> => createSignature([bytes], { ...kind, basisBytes: bytes.length });
  const halves = [basis.subarray(0, 300_000), basis.subarray(300_000)] as const;
  const combined = combineSignatures([await sign(halves[0]), await sign(halves[1])]);
  const delta = await collect(createDelta(combined, [target]));
  assert.deepEqual(await collect(applyDelta(concatenatedBasis(halves.map(readerOf)), [delta])), target);

  const [early, late] = [await sign(basis), await sign(target)];
  const options: PlanNeedsOptions = { selfCopies: false };
  const plan: NeedPlan = planNeeds(late, [early], options);
  const asked: NeedList = decodeNeeds(encodeNeeds(plan.needs));
  const answering: AnswerNeedsOptions = { compress: (bytes) => bytes };
  const sources: TargetSources = {
    seeds: [readerOf(basis)],
    fetch: (needs) => readAnswer(answerNeeds(readerOf(target), asked, answering), needs),
  };
  assert.deepEqual(await collect(rebuildTarget(plan, sources)), target);

  const outline: SignatureOutline = decodeOutline(encodeOutline(outlineOf(late)));
  const records = encodeRecords(late, recordNeedsOf(outline, [early]));
  assert.deepEqual(completeSignature(outline, [early], records), late);
  const pays = outlinePays(late, { changedFraction: 0, roundTripBytes: 0 });
  outcomes['needs'] = [plan.stepCount, asked.neededBytes, asked.rangeCount, pays];
}

/** As [MS-RDC] has it. */
async function speakMsRdc(): Promise<void> {
  const levels: readonly MsRdcParameters[] = msRdcLevels(msRdcLevelCountFor(basis.length));
  const [parameters] = levels as [MsRdcParameters];
  const [encoded] = (await createMsRdcSignatures([basis], levels)) as [Uint8Array];
  const signer = new MsRdcSigner(parameters);
  assert.deepEqual(Buffer.concat([signer.push(basis), signer.finish()]), Buffer.from(encoded));
  const options: ReadMsRdcSignatureOptions = { fileBytes: basis.length };
  const seed: MsRdcSignature = readMsRdcSignature(encoded, options);
  const [other] = (await createMsRdcSignatures([target], [parameters])) as [Uint8Array];
  const source = readMsRdcSignature(other);
  const needs: readonly MsRdcNeed[] = [...msRdcNeeds(source, [seed])];
  const alike = msRdcTraitMatchCount(msRdcTraits(source), msRdcTraits(seed));
  const chunker = new MsRdcChunker(parameters);
  outcomes['msRdc'] = [levels, sha256(encoded), needs.length, alike, typeof chunker];
}

cutChunks();
await signInSpans();
await fail(await signAndDiffer());
await diffBothSides();
await fetchNeeds();
await speakMsRdc();
console.log(JSON.stringify(outcomes));
