/**
 * The payload: what one version of a package is beyond another, as one stream of records in one file. It is what a
 * sender pushes, a branch pulls by ranges, and a despooler applies; the same file serves every destination that holds
 * the same basis version, down the whole hierarchy. See FORMATS.md for the bytes.
 *
 * The records are self-delimiting and bounded, so reading needs the memory of one record. Nothing read here is to be
 * believed: each content is verified by its SHA-256 before it is stored, the manifest by its frame.
 */
import { z } from 'zod';
import { ReplicationError } from '../errors.ts';
import { limits } from '../model/limits.ts';
import { isPackageId, type PackageId, type Version } from '../model/package.ts';
import { decodeForeign, encodeOwn } from './msgpack.ts';

const share = z.strictObject({ contents: z.int().nonnegative(), bytes: z.int().nonnegative() });
/**
 * How many contents of the target go which way, and how many bytes of the target they are: there already, as a
 * difference to what is there, or compressed by themselves because nothing is there to compare with.
 */
export const mechanismsSchema = z.strictObject({ present: share, diff: share, whole: share });
export type Mechanisms = z.infer<typeof mechanismsSchema>;

/** What the payload turns into what. `basisVersion` 0: the receiver needs to hold nothing. */
export interface PayloadHead {
  readonly packageId: PackageId;
  readonly basisVersion: Version | 0;
  readonly version: Version;
  /**
   * Empty when it suits whoever holds exactly the basis version; else 16 hex digits that name the set of contents it
   * was made for.
   */
  readonly variant: string;
  /** Bytes of the encoded manifest that follows. */
  readonly manifestBytes: number;
  /** What `diff` and `whole` add up to is the disk the receiver needs. */
  readonly mechanisms: Mechanisms;
}

const recordKinds = {
  head: 1,
  manifest: 2,
  contents: 3,
  deltaBlock: 4,
  end: 5,
} as const;
export type RecordKind = keyof typeof recordKinds;
const kindNames = new Map<number, RecordKind>(
  Object.entries(recordKinds).map(([name, code]) => [code, name as RecordKind]),
);

/** `dictionary`: zstd with the encoded manifest of the basis version as raw dictionary; manifest records only. */
const codings = { raw: 0, zstd: 1, dictionary: 2 } as const;
export type Coding = keyof typeof codings;
const codingNames = new Map<number, Coding>(Object.entries(codings).map(([name, code]) => [code, name as Coding]));

export interface PayloadRecord {
  readonly kind: RecordKind;
  readonly coding: Coding;
  /** Length of the body once decoded; equals the body's length when the coding is `raw`. */
  readonly rawBytes: number;
  readonly body: Uint8Array;
}

const magic = 'SFPL';
const formatVersion = 3;
const preambleBytes = 8;
const recordHeadBytes = 12;

export function encodePreamble(): Uint8Array {
  const preamble = Buffer.alloc(preambleBytes);
  preamble.write(magic, 0, 'latin1');
  preamble.writeUInt32LE(formatVersion, 4);
  return preamble;
}

/** Whether a file that begins so is a payload of this format version. */
export function isPayloadPreamble(start: Uint8Array): boolean {
  return Buffer.compare(start.subarray(0, preambleBytes), encodePreamble()) === 0;
}

/** Head and body of a record as two buffers, so that a large body is not copied. */
export function encodeRecord(record: PayloadRecord): [Uint8Array, Uint8Array] {
  if (record.body.byteLength > limits.payloadRecordBytesMax) {
    throw new RangeError(`A ${record.kind} record of ${record.body.byteLength} bytes is beyond the bound`);
  }
  const head = Buffer.alloc(recordHeadBytes);
  head.writeUInt8(recordKinds[record.kind], 0);
  head.writeUInt8(codings[record.coding], 1);
  head.writeUInt32LE(record.rawBytes, 4);
  head.writeUInt32LE(record.body.byteLength, 8);
  return [head, record.body];
}

function invalid(state: string): ReplicationError {
  return new ReplicationError('payload-invalid', `Cannot read a payload: ${state}`);
}

/**
 * Splits a stream into records. Ends normally only after an `end` record with nothing behind it; throws
 * `payload-invalid` otherwise. Bodies are copies owned by the consumer.
 */
export async function* payloadRecords(source: AsyncIterable<Uint8Array>): AsyncGenerator<PayloadRecord> {
  const reader = new ExactReader(source);
  const preamble = Buffer.from(await reader.exactly(preambleBytes));
  if (preamble.toString('latin1', 0, 4) !== magic) throw invalid('it does not begin with its magic');
  const version = preamble.readUInt32LE(4);
  if (version !== formatVersion) throw invalid(`it is of version ${version}, this program knows ${formatVersion}`);
  for (;;) {
    const head = Buffer.from(await reader.exactly(recordHeadBytes));
    const kind = kindNames.get(head.readUInt8(0));
    const coding = codingNames.get(head.readUInt8(1));
    const rawBytes = head.readUInt32LE(4);
    const bodyBytes = head.readUInt32LE(8);
    if (kind === undefined || coding === undefined || head.readUInt16LE(2) !== 0)
      throw invalid('a record has no known kind');
    if (bodyBytes > limits.payloadRecordBytesMax || rawBytes > limits.payloadRecordBytesMax) {
      throw invalid(`a ${kind} record is larger than ${limits.payloadRecordBytesMax} bytes`);
    }
    if (coding === 'raw' && rawBytes !== bodyBytes) throw invalid(`a raw ${kind} record contradicts its own length`);
    if (coding === 'dictionary' && kind !== 'manifest') throw invalid(`a ${kind} record claims a dictionary`);
    yield { kind, coding, rawBytes, body: await reader.exactly(bodyBytes) };
    if (kind !== 'end') continue;
    if (!(await reader.isAtEnd())) throw invalid('bytes follow its end');
    return;
  }
}

/** Hands out exactly as many bytes as asked, whatever the buffers they arrive in. */
class ExactReader {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #pending: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  async #refill(): Promise<boolean> {
    while (this.#pending.byteLength === 0) {
      const next = await this.#iterator.next();
      if (next.done === true) return false;
      this.#pending = next.value;
    }
    return true;
  }

  async exactly(bytes: number): Promise<Uint8Array> {
    const whole = new Uint8Array(bytes);
    let filled = 0;
    while (filled < bytes) {
      if (!(await this.#refill())) throw invalid('it ends early');
      const part = this.#pending.subarray(0, bytes - filled);
      whole.set(part, filled);
      filled += part.byteLength;
      this.#pending = this.#pending.subarray(part.byteLength);
    }
    return whole;
  }

  async isAtEnd(): Promise<boolean> {
    return !(await this.#refill());
  }
}

const wireHead = z.strictObject({
  package: z.string(),
  basisVersion: z.int().min(0),
  version: z.int().min(1).max(limits.versionMax),
  variant: z.string().regex(/^([0-9a-f]{16})?$/),
  manifestBytes: z.int().min(1).max(limits.manifestBytesMax),
  mechanisms: mechanismsSchema,
});

export function encodePayloadHead(head: PayloadHead): Uint8Array {
  return encodeOwn({
    package: head.packageId,
    basisVersion: head.basisVersion,
    version: head.version,
    variant: head.variant,
    manifestBytes: head.manifestBytes,
    mechanisms: head.mechanisms,
  });
}

export function decodePayloadHead(body: Uint8Array): PayloadHead {
  const parsed = wireHead.safeParse(decodeForeign(body, 'the head of a payload', { itemCountMax: 32 }));
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error).slice(0, 500));
  const { package: packageId, ...rest } = parsed.data;
  if (!isPackageId(packageId)) throw invalid(`"${packageId}" is not a package id`);
  if (rest.basisVersion >= rest.version)
    throw invalid(`it claims to lead from version ${rest.basisVersion} to ${rest.version}`);
  return { packageId, ...rest };
}

/**
 * Which contents the delta leads from and which it leads to, by their places in two lists that sender and receiver
 * derive alike from the manifests: see `engine/delta/plan.ts`. Identities and lengths are in the manifests already.
 */
export interface ContentChoice {
  /** Empty when the delta has no basis, so that a receiver without the basis version's manifest can follow. */
  readonly basis: readonly boolean[];
  readonly target: readonly boolean[];
}

const choiceHeadBytes = 8;

export function encodeContentChoice({ basis, target }: ContentChoice): Uint8Array {
  const body = Buffer.alloc(choiceHeadBytes + bitBytes(basis.length) + bitBytes(target.length));
  body.writeUInt32LE(basis.length, 0);
  body.writeUInt32LE(target.length, 4);
  writeBits(basis, body.subarray(choiceHeadBytes));
  writeBits(target, body.subarray(choiceHeadBytes + bitBytes(basis.length)));
  return body;
}

export function decodeContentChoice(body: Uint8Array): ContentChoice {
  if (body.byteLength < choiceHeadBytes) throw invalid('its list of contents is cut short');
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const [basisCount, targetCount] = [view.getUint32(0, true), view.getUint32(4, true)];
  const targetStart = choiceHeadBytes + bitBytes(basisCount);
  if (body.byteLength !== targetStart + bitBytes(targetCount)) throw invalid('its list of contents has a wrong length');
  return {
    basis: readBits(body.subarray(choiceHeadBytes, targetStart), basisCount),
    target: readBits(body.subarray(targetStart), targetCount),
  };
}

function bitBytes(count: number): number {
  return Math.ceil(count / 8);
}

/** Lowest bit first. */
function writeBits(bits: readonly boolean[], into: Uint8Array): void {
  bits.forEach((bit, index) => {
    if (bit) into[index >> 3] = (into[index >> 3] ?? 0) | (1 << (index & 7));
  });
}

/** `bytes` has room for exactly `count` bits. */
function readBits(bytes: Uint8Array, count: number): boolean[] {
  const isSet = (index: number): boolean => (((bytes[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
  for (let index = count; index < bytes.byteLength * 8; index += 1) {
    if (isSet(index)) throw invalid('its list of contents goes on behind its end');
  }
  return Array.from({ length: count }, (_, index) => isSet(index));
}
