/**
 * The bytes of one simulated file, as the machine sees them and as a power cut may leave them.
 *
 * Modelled on Linux: bytes written since the last sync are in the page cache; each 512-byte sector of them may or may
 * not have reached the disk. A failed sync marks them clean although they never arrived, so a later sync that succeeds
 * does not save them (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
 */
import type { Seeded } from './seeded.ts';

/** What a power cut spares of what was not synced. */
export type PowerLoss = 'all' | 'none' | 'some';

const SECTOR_BYTES = 512;
/** Room is given in such blocks, as ext4, XFS and APFS do. */
const BLOCK_BYTES = 4096;
/** A simulated file beyond this is a mistake of the test. */
const FILE_BYTES_MAX = 2 ** 30;

export class FileContent {
  #memory = new Uint8Array(0);
  #bytes = 0;
  #durableBytes = 0;
  /** Sector index to what the disk holds there, for each sector changed since the last sync. */
  readonly #unsynced = new Map<number, Uint8Array>();
  /** The same for sectors whose sync failed: only writing them again gives them another chance. */
  readonly #forsaken = new Map<number, Uint8Array>();
  /** Indexes of blocks that were written; all others are holes. Writes that a power cut undoes keep their blocks. */
  readonly #blocks = new Set<number>();

  get bytes(): number {
    return this.#bytes;
  }

  get allocatedBytes(): number {
    return this.#blocks.size * BLOCK_BYTES;
  }

  /** A view, valid until the next change. */
  view(): Uint8Array {
    return this.#memory.subarray(0, this.#bytes);
  }

  read(offset: number, into: Uint8Array): number {
    const part = this.view().subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#remember(Math.min(offset, this.#bytes), offset + bytes.length);
    this.#grow(offset + bytes.length);
    this.#memory.set(bytes, offset);
    const endIndex = Math.ceil((offset + bytes.length) / BLOCK_BYTES);
    for (let index = Math.floor(offset / BLOCK_BYTES); index < endIndex; index++) this.#blocks.add(index);
  }

  truncate(bytes: number): void {
    this.#remember(Math.min(bytes, this.#bytes), Math.max(bytes, this.#bytes));
    if (bytes < this.#bytes) {
      this.#memory.fill(0, bytes, this.#bytes);
      this.#bytes = bytes;
      this.#freeBlocksBeyondEnd();
    } else {
      this.#grow(bytes);
    }
  }

  sync(): void {
    this.#unsynced.clear();
    this.#durableBytes = this.#bytes;
  }

  failSync(): void {
    for (const [index, sector] of this.#unsynced) if (!this.#forsaken.has(index)) this.#forsaken.set(index, sector);
    this.#unsynced.clear();
  }

  /** Changes the bytes under everybody's feet, durably: decay of the medium. */
  flipBit(offset: number): void {
    if (offset < this.#bytes) this.#memory[offset] = (this.#memory[offset] ?? 0) ^ 1;
  }

  powerCut(loss: PowerLoss, chance: Seeded): void {
    const writtenBytes = this.#bytes;
    const mode = loss === 'some' ? chance.pick(['none', 'all', 'prefix', 'sectors'] as const) : loss;
    if (mode !== 'none') {
      this.#bytes = this.#lengthAfterCut(mode, chance);
      this.#grow(this.#bytes);
    }
    const limit = mode === 'prefix' ? chance.between(0, writtenBytes + 1) / SECTOR_BYTES : 0;
    const changed = [...this.#forsaken, ...this.#unsynced].sort(([a], [b]) => a - b);
    for (const [index, sector] of changed) {
      const isForsaken = this.#forsaken.has(index);
      const isKept =
        (mode === 'none' && !isForsaken) ||
        (mode === 'prefix' && !isForsaken && index < limit) ||
        (mode === 'sectors' && chance.chance(0.5));
      if (isKept) continue;
      const start = index * SECTOR_BYTES;
      if (start < this.#bytes) this.#memory.set(sector.subarray(0, this.#bytes - start), start);
    }
    this.#memory.fill(0, this.#bytes);
    this.#freeBlocksBeyondEnd();
    this.#unsynced.clear();
    this.#forsaken.clear();
    this.#durableBytes = this.#bytes;
  }

  #lengthAfterCut(mode: 'all' | 'prefix' | 'sectors', chance: Seeded): number {
    const [least, most] = [Math.min(this.#durableBytes, this.#bytes), Math.max(this.#durableBytes, this.#bytes)];
    if (mode === 'all' || least === most) return this.#durableBytes;
    const torn = Math.floor(chance.between(least, most) / SECTOR_BYTES) * SECTOR_BYTES;
    return chance.pick([this.#durableBytes, this.#bytes, Math.max(least, torn)]);
  }

  /** Keeps what the disk holds of the sectors of [startByte, endByte), once per sync. */
  #remember(startByte: number, endByte: number): void {
    const lastIndex = Math.ceil(endByte / SECTOR_BYTES);
    for (let index = Math.floor(startByte / SECTOR_BYTES); index < lastIndex; index++) {
      if (this.#unsynced.has(index)) continue;
      const forsaken = this.#forsaken.get(index);
      this.#forsaken.delete(index);
      const sector = new Uint8Array(SECTOR_BYTES);
      const start = index * SECTOR_BYTES;
      sector.set(this.#memory.subarray(start, start + SECTOR_BYTES));
      this.#unsynced.set(index, forsaken ?? sector);
    }
  }

  #freeBlocksBeyondEnd(): void {
    for (const index of this.#blocks) if (index * BLOCK_BYTES >= this.#bytes) this.#blocks.delete(index);
  }

  #grow(bytes: number): void {
    if (bytes > FILE_BYTES_MAX) throw new RangeError(`Simulated file of ${bytes} bytes: at most ${FILE_BYTES_MAX}`);
    if (bytes > this.#memory.length) {
      const memory = new Uint8Array(Math.max(bytes, 2 * this.#memory.length, SECTOR_BYTES));
      memory.set(this.#memory);
      this.#memory = memory;
    }
    this.#bytes = Math.max(this.#bytes, bytes);
  }
}
