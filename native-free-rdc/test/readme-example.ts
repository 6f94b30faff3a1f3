import { randomBytes } from 'node:crypto';
import {
  applyDelta,
  createDelta,
  createSignature,
  decodeSignature,
  encodeSignature,
  SALT_BYTES,
} from 'native-free-rdc';

// The holder of the basis signs it …
const basis = randomBytes(1_000_000);
const signature = await createSignature([basis], { basisBytes: basis.length, salt: randomBytes(SALT_BYTES) });
const signatureOnTheWire = encodeSignature(signature);

// … the holder of the target makes a delta against the signature …
const target = Buffer.concat([basis.subarray(0, 300_000), Buffer.from('an insertion'), basis.subarray(300_000)]);
const deltaOnTheWire = await Array.fromAsync(createDelta(decodeSignature(signatureOnTheWire), [target]));

// … and the holder of the basis rebuilds the target. It is right only once the loop has ended.
const rebuilt: Uint8Array[] = [];
const basisReader = {
  bytes: basis.length,
  read: async (offset: number, into: Uint8Array) => basis.copy(into, 0, offset, offset + into.length),
};
for await (const piece of applyDelta(basisReader, deltaOnTheWire)) rebuilt.push(piece);

const wireBytes = signatureOnTheWire.length + Buffer.concat(deltaOnTheWire).length;
console.log(`${target.length} bytes rebuilt: ${Buffer.concat(rebuilt).equals(target)}; ${wireBytes} travelled`);
