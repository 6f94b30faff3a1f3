/**
 * WASM modules compile asynchronously, off the virtual time line. Done once before a simulation, so that nothing in it
 * waits for something real.
 */
import { createSignature } from 'native-free-rdc';

export async function warmUp(): Promise<void> {
  await createSignature([Uint8Array.of(1)], { basisBytes: 1, salt: new Uint8Array(8) });
}
