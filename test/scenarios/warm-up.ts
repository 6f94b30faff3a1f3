/**
 * WASM modules compile asynchronously, off the virtual time line. Done once before a simulation, so that nothing in it
 * waits for something real.
 */
import { createDiff } from 'native-free-rdc';

const basis = { bytes: 1, read: async (): Promise<number> => 1 };

export async function warmUp(): Promise<void> {
  for await (const _piece of createDiff(basis, [new Uint8Array(100)]));
}
