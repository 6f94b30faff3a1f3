/**
 * Memory and instances of the WASM kernels: who uses one says what rooms it needs, and never computes an address.
 *
 * A memory is of one thread. Pages that are never touched cost nothing, so rooms are made for the largest case.
 */

import { copyBytes } from './copy-bytes.ts';

/** What is used of WebAssembly; the compiler's libraries declare it only together with a browser's. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    readonly initial: number;
  }) => { readonly buffer: ArrayBuffer; grow(pages: number): number };
  readonly Module: new (binary: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Readonly<Record<string, (...numbers: number[]) => number>> };
};

const PAGE_BYTES = 64 * 1024;
/** The first page is the kernels' own: their constants. */
const ROOMS_AT = PAGE_BYTES;
/** Kernels read whole words, so that they may look past the end of what they were given. */
const SLACK_BYTES = 64;

/** A part of a memory. */
export interface KernelRoom {
  readonly at: number;
  readonly bytes: number;
}

export class KernelMemory {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  #end = ROOMS_AT;
  #view = new Uint8Array(this.#memory.buffer);

  /** What a kernel imports. */
  get imports(): object {
    return { env: { memory: this.#memory } };
  }

  /** A new room, zeroed, aligned to 64 bytes. Views of rooms taken before are void. */
  room(bytes: number): KernelRoom {
    const at = this.#end;
    this.#end = Math.ceil((at + bytes + SLACK_BYTES) / 64) * 64;
    const missing = this.#end - this.#view.length;
    if (missing > 0) {
      this.#memory.grow(Math.ceil(missing / PAGE_BYTES));
      this.#view = new Uint8Array(this.#memory.buffer);
    }
    return { at, bytes };
  }

  /** Copies `bytes` to the room's start and zeroes the slack behind them. */
  put(room: KernelRoom, bytes: Uint8Array, offset = 0): void {
    if (offset + bytes.length > room.bytes)
      throw new RangeError(`${bytes.length} bytes do not fit into a room of ${room.bytes}`);
    copyBytes(bytes, this.#view, room.at + offset);
    this.#view.fill(0, room.at + offset + bytes.length, room.at + offset + bytes.length + SLACK_BYTES);
  }

  clear(room: KernelRoom): void {
    this.#view.fill(0, room.at, room.at + room.bytes);
  }

  /** A view of the first `bytes` bytes. */
  bytes(room: KernelRoom, bytes: number = room.bytes): Uint8Array {
    return this.#view.subarray(room.at, room.at + bytes);
  }

  /** The room as 32-bit words: a view. */
  words(room: KernelRoom): Uint32Array {
    return new Uint32Array(this.#memory.buffer, room.at, room.bytes >>> 2);
  }

  /** Copies within the memory. */
  copy(from: number, to: number, bytes: number): void {
    this.#view.copyWithin(to, from, from + bytes);
  }
}

const modules = new Map<string, object>();

/** An instance of the kernel that `base64` is, on `memory`. Compiled once a thread. */
export function instantiate(
  base64: string,
  memory: KernelMemory,
): Readonly<Record<string, (...numbers: number[]) => number>> {
  let module = modules.get(base64);
  if (module === undefined) {
    module = new WebAssembly.Module(Buffer.from(base64, 'base64'));
    modules.set(base64, module);
  }
  return new WebAssembly.Instance(module, memory.imports).exports;
}
