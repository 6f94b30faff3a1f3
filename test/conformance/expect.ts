/** Assertions shared by the conformance suites. */
import assert from 'node:assert/strict';
import { type ErrorCode, ReplicationError } from '../../src/errors.ts';

/** Asserts that `action` fails with our own error of this code; returns it for further looks. */
export async function rejectsWithCode(
  action: Promise<unknown> | (() => Promise<unknown>),
  code: ErrorCode,
): Promise<ReplicationError> {
  try {
    await (typeof action === 'function' ? action() : action);
  } catch (error) {
    assert.ok(error instanceof ReplicationError, `expected a ReplicationError ${code}, got ${String(error)}`);
    assert.equal(error.code, code, error.message);
    return error;
  }
  assert.fail(`expected a rejection with ${code}, got none`);
}

/** The bytes 0, 1, 2 … 250, 0, 1 …: a period that no power of two hides. */
export function patternBytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => index % 251);
}

/** Reads an iterable body to its end. */
export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(Uint8Array.from(part));
  return new Uint8Array(Buffer.concat(parts));
}
