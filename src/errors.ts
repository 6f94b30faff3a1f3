/**
 * How the world fails, as a closed list.
 *
 * A failure of the world (a full disk, a cut link, a lying peer) is a `ReplicationError`. Its `code` never changes
 * meaning once published and its `retry` verdict says what the caller may do; nobody branches on the message.
 * A mistake of the calling code is a `TypeError` or `RangeError` and is not caught. An expected outcome (an absent
 * file, an offset that moved) is a return value.
 */

/** `never`: ask a person. `later`: the same call may succeed after a wait. `elsewhere`: another way must be taken. */
export type RetryVerdict = 'never' | 'later' | 'elsewhere';

/** Every code, its verdict unless the thrower knows better, and the exit status of a command that ends with it. */
const ERROR_CODES = {
  // What a person typed or configured.
  usage: { retry: 'never', exitStatus: 2 },
  'config-invalid': { retry: 'never', exitStatus: 2 },
  'config-missing': { retry: 'never', exitStatus: 2 },
  'config-exists': { retry: 'never', exitStatus: 5 },
  'runtime-too-old': { retry: 'never', exitStatus: 1 },
  // The source of a package.
  'source-missing': { retry: 'later', exitStatus: 1 },
  'source-unreadable': { retry: 'later', exitStatus: 1 },
  'source-empty': { retry: 'never', exitStatus: 5 },
  'source-changed': { retry: 'later', exitStatus: 1 },
  'source-unsupported': { retry: 'never', exitStatus: 5 },
  'path-refused': { retry: 'never', exitStatus: 5 },
  // The local store.
  'disk-full': { retry: 'later', exitStatus: 5 },
  'disk-failed': { retry: 'later', exitStatus: 1 },
  'file-missing': { retry: 'later', exitStatus: 1 },
  'access-denied': { retry: 'later', exitStatus: 5 },
  'already-running': { retry: 'never', exitStatus: 5 },
  'database-damaged': { retry: 'never', exitStatus: 1 },
  'content-missing': { retry: 'elsewhere', exitStatus: 1 },
  'content-damaged': { retry: 'elsewhere', exitStatus: 4 },
  'package-unknown': { retry: 'never', exitStatus: 1 },
  'destination-unknown': { retry: 'never', exitStatus: 1 },
  'version-conflict': { retry: 'never', exitStatus: 1 },
  'name-taken': { retry: 'never', exitStatus: 5 },
  // Bytes from outside.
  'format-invalid': { retry: 'elsewhere', exitStatus: 4 },
  'manifest-invalid': { retry: 'elsewhere', exitStatus: 4 },
  'payload-invalid': { retry: 'elsewhere', exitStatus: 4 },
  'delta-invalid': { retry: 'elsewhere', exitStatus: 4 },
  'basis-mismatch': { retry: 'elsewhere', exitStatus: 4 },
  'limit-exceeded': { retry: 'never', exitStatus: 5 },
  // The network and the peer.
  'port-in-use': { retry: 'never', exitStatus: 5 },
  'link-failed': { retry: 'later', exitStatus: 1 },
  'link-timeout': { retry: 'later', exitStatus: 1 },
  'peer-refused': { retry: 'later', exitStatus: 5 },
  'peer-unauthorized': { retry: 'later', exitStatus: 5 },
  'peer-busy': { retry: 'later', exitStatus: 1 },
  'peer-answer-invalid': { retry: 'later', exitStatus: 1 },
  'address-closed': { retry: 'later', exitStatus: 5 },
  superseded: { retry: 'never', exitStatus: 1 },
  'verification-failed': { retry: 'never', exitStatus: 4 },
  'registry-unreachable': { retry: 'later', exitStatus: 1 },
  'process-failed': { retry: 'later', exitStatus: 1 },
  'nothing-to-do': { retry: 'never', exitStatus: 9 },
  internal: { retry: 'later', exitStatus: 1 },
} as const satisfies Record<string, { retry: RetryVerdict; exitStatus: number }>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface ReplicationErrorOptions {
  /** Overrides the verdict of the code. */
  readonly retry?: RetryVerdict;
  readonly cause?: unknown;
  /** The next command or step for a person; printed after `try:`. */
  readonly hint?: string;
}

/** Messages carry names and words of others, and end on terminals: only line ends stay of the control characters. */
function withoutControls(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]|[\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}

/** A failure of the world. Message: action, then state, then what was wanted. */
export class ReplicationError extends Error {
  readonly code: ErrorCode;
  readonly retry: RetryVerdict;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: ReplicationErrorOptions = {}) {
    super(withoutControls(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ReplicationError';
    this.code = code;
    this.retry = options.retry ?? ERROR_CODES[code].retry;
    this.hint = options.hint;
  }
}

/** Whether `text` is one of our codes: for codes that arrive from a peer. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

export function exitStatusOf(code: ErrorCode): number {
  return ERROR_CODES[code].exitStatus;
}

export const errorCodes: readonly ErrorCode[] = Object.keys(ERROR_CODES) as ErrorCode[];

/** The error itself when it is ours, else our `internal` around it: nothing unknown crosses a floor unnamed. */
export function asReplicationError(error: unknown): ReplicationError {
  if (error instanceof ReplicationError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ReplicationError('internal', `Unexpected failure: ${message}`, { cause: error });
}
