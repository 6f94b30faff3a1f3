/**
 * Unsigned LEB128 integers of at most 2^53 − 1, and zigzag for signed ones.
 *
 * Encoding is canonical and the reader insists on it: no value has two encodings, so a format built of varints has one
 * encoding too. No BigInt: values beyond 31 bits use division, since shifts would wrap.
 */
import { VARINT_BYTES_MAX, VARINT_MAX } from './limits.ts';

/** A growing run of bytes. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(bytesExpected: number) {
    this.#bytes = new Uint8Array(Math.max(64, bytesExpected));
  }

  get length(): number {
    return this.#length;
  }

  /** Appends a varint; `value` is an integer in [0, 2^53). */
  varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`Cannot write a varint: value is ${value}`);
    this.#makeRoom();
    let rest = value;
    while (rest >= 0x80) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** Appends a byte, 0 to 255. */
  byte(value: number): void {
    this.#makeRoom();
    this.#bytes[this.#length++] = value;
  }

  /** What was written, as a view valid until the next write or `clear`. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** For one varint more, and so for a byte. */
  #makeRoom(): void {
    if (this.#bytes.length - this.#length >= VARINT_BYTES_MAX) return;
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Reads varints from one buffer. A fault is told by `read` returning -1, since only the caller knows the error. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** The next value, or -1 if it is cut short, above 2^53 − 1, or longer than it needs to be. */
  read(): number {
    let value = 0;
    let scale = 1;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) return -1;
      this.#at++;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value > VARINT_MAX || (byte === 0 && index > 0) ? -1 : value;
      scale *= 0x80;
    }
    return -1;
  }
}

/** Maps a signed integer of magnitude below 2^52 to an unsigned one: 0, -1, 1, -2, … to 0, 1, 2, 3, … */
export function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

export function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
