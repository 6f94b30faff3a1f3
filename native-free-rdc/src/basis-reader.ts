/** Random access to bytes that someone else holds: a file, a memory, several of them in a row. */
import { RdcError } from './errors.ts';

/** Random access to a basis. */
export interface BasisReader {
  readonly bytes: number;
  /** Fills `into` with the bytes from `offset` on; returns how many, fewer than asked only at the end of the basis. */
  read(offset: number, into: Uint8Array): Promise<number>;
}

/** Fills `into` from `offset` on. Throws `RdcError` `basis-short` if the basis ends before; `action` begins its message. */
export async function readExactly(basis: BasisReader, offset: number, into: Uint8Array, action: string): Promise<void> {
  const bytes = await basis.read(offset, into);
  if (bytes !== into.length) {
    throw new RdcError(
      'basis-short',
      `Cannot ${action}: the basis gave ${bytes} bytes at ${offset}, expected ${into.length}`,
    );
  }
}

/**
 * Several bases as one, each beginning where the one before ends, or at the next multiple of `alignBytes` after zeros:
 * fields in copied bytes are looked for where a file would align them.
 */
export function concatenatedBasis(parts: readonly BasisReader[], alignBytes = 1): BasisReader {
  const bases: BasisReader[] = [];
  const starts: number[] = [];
  let bytes = 0;
  const padded = parts.flatMap((part) => {
    const missing = (alignBytes - (part.bytes % alignBytes)) % alignBytes;
    return missing === 0 ? [part] : [part, zeros(missing)];
  });
  for (const basis of padded) {
    bases.push(basis);
    starts.push(bytes);
    bytes += basis.bytes;
  }
  return {
    bytes,
    read: async (offset, into) => {
      let filled = 0;
      for (let index = lastAtMost(starts, offset); index < bases.length && filled < into.length; index++) {
        const basis = bases[index] as BasisReader;
        const at = offset + filled - (starts[index] as number);
        const part = into.subarray(filled, filled + Math.min(into.length - filled, basis.bytes - at));
        if (part.length === 0) continue;
        const read = await basis.read(at, part);
        filled += read;
        if (read < part.length) break;
      }
      return filled;
    },
  };
}

function zeros(bytes: number): BasisReader {
  return {
    bytes,
    read: (offset, into) => {
      const count = Math.max(0, Math.min(into.length, bytes - offset));
      into.fill(0, 0, count);
      return Promise.resolve(count);
    },
  };
}

/** Index of the last of the ascending `starts` that is at most `offset`; 0 if none is. */
function lastAtMost(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((starts[middle] as number) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
