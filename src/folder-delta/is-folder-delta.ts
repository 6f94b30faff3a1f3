/** Told apart from the delta of a file by its first bytes. */

export const folderDeltaMagic = 'SFFD';

/** Whether `bytes`, the first of a file, begin a folder delta. */
export function isFolderDelta(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, folderDeltaMagic.length)).toString('latin1') === folderDeltaMagic;
}
