/**
 * MD4 (RFC 1320), which [MS-RDC] uses for chunk hashes, similarity and the table of its rolling hash.
 *
 * Written out because OpenSSL 3, and with it `node:crypto`, no longer has it. It is broken: anyone can make two chunks
 * with one MD4. Nothing here may decide whether a rebuilt file is right ([MS-RDC] 5.1).
 */

/** Bytes of a digest. */
export const MD4_BYTES = 16;

const BLOCK_BYTES = 64;
/** The length of the message in bits ends its last block. */
const LENGTH_BYTES = 8;

// RFC 1320, 3.4: the square roots of 2 and 3, times 2^30.
const ROUND_2 = 0x5a827999;
const ROUND_3 = 0x6ed9eba1;

// Scratch of the one call in progress: nothing here waits or calls back.
const state = new Int32Array(4);
const words = new Int32Array(BLOCK_BYTES / 4);
const tail = new Uint8Array(2 * BLOCK_BYTES);
const tailView = new DataView(tail.buffer);
const stateView = new DataView(new ArrayBuffer(MD4_BYTES));
const stateBytes = new Uint8Array(stateView.buffer);

/**
 * Writes the MD4 of `message` into the first 16 bytes of `digest`, which may overlap it.
 *
 * Throws `RangeError` if `digest` is shorter than that.
 */
export function md4Into(message: Uint8Array, digest: Uint8Array): void {
  // RFC 1320, 3.3.
  state[0] = 0x67452301;
  state[1] = 0xefcdab89;
  state[2] = 0x98badcfe;
  state[3] = 0x10325476;
  const wholeBytes = message.length - (message.length % BLOCK_BYTES);
  if (wholeBytes > 0) compress(new DataView(message.buffer, message.byteOffset, wholeBytes), wholeBytes);
  compress(tailView, padTail(message, wholeBytes));
  for (let index = 0; index < 4; index++) stateView.setInt32(index * 4, state[index] as number, true);
  digest.set(stateBytes);
}

/** Fills `tail` with what follows the whole blocks, padded as in RFC 1320, 3.1 and 3.2; returns its bytes, 64 or 128. */
function padTail(message: Uint8Array, wholeBytes: number): number {
  const restBytes = message.length - wholeBytes;
  const tailBytes = restBytes < BLOCK_BYTES - LENGTH_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
  for (let index = 0; index < restBytes; index++) tail[index] = message[wholeBytes + index] as number;
  tail[restBytes] = 0x80;
  tail.fill(0, restBytes + 1, tailBytes - LENGTH_BYTES);
  // Bits of the message modulo 2^64, in two halves; bytes are at most 2^53.
  tailView.setInt32(tailBytes - LENGTH_BYTES, message.length << 3, true);
  tailView.setInt32(tailBytes - LENGTH_BYTES / 2, Math.floor(message.length / 2 ** 29), true);
  return tailBytes;
}

/** Takes the blocks of `view[0, endByte)` into `state`: RFC 1320, 3.4. */
function compress(view: DataView, endByte: number): void {
  let a = state[0] as number;
  let b = state[1] as number;
  let c = state[2] as number;
  let d = state[3] as number;
  for (let block = 0; block < endByte; block += BLOCK_BYTES) {
    const aBefore = a;
    const bBefore = b;
    const cBefore = c;
    const dBefore = d;
    for (let index = 0; index < 16; index++) words[index] = view.getInt32(block + index * 4, true);
    for (let k = 0; k < 16; k += 4) {
      a = rotate(a + (d ^ (b & (c ^ d))) + word(k), 3);
      d = rotate(d + (c ^ (a & (b ^ c))) + word(k + 1), 7);
      c = rotate(c + (b ^ (d & (a ^ b))) + word(k + 2), 11);
      b = rotate(b + (a ^ (c & (d ^ a))) + word(k + 3), 19);
    }
    for (let k = 0; k < 4; k++) {
      a = rotate(a + ((b & c) | (d & (b | c))) + word(k) + ROUND_2, 3);
      d = rotate(d + ((a & b) | (c & (a | b))) + word(k + 4) + ROUND_2, 5);
      c = rotate(c + ((d & a) | (b & (d | a))) + word(k + 8) + ROUND_2, 9);
      b = rotate(b + ((c & d) | (a & (c | d))) + word(k + 12) + ROUND_2, 13);
    }
    for (let step = 0; step < 4; step++) {
      // 0, 2, 1, 3. Computed: a `for … of` over a list of them makes all of MD4 2.5 times slower (Node 24.21).
      const k = ((step & 1) << 1) | (step >> 1);
      a = rotate(a + (b ^ c ^ d) + word(k) + ROUND_3, 3);
      d = rotate(d + (a ^ b ^ c) + word(k + 8) + ROUND_3, 9);
      c = rotate(c + (d ^ a ^ b) + word(k + 4) + ROUND_3, 11);
      b = rotate(b + (c ^ d ^ a) + word(k + 12) + ROUND_3, 15);
    }
    a = (a + aBefore) | 0;
    b = (b + bBefore) | 0;
    c = (c + cBefore) | 0;
    d = (d + dBefore) | 0;
  }
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
}

function word(index: number): number {
  return words[index] as number;
}

/** Rotates the low 32 bits of an exact sum to the left. */
function rotate(sum: number, bits: number): number {
  return (sum << bits) | (sum >>> (32 - bits));
}
