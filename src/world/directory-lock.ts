/**
 * The exclusive lock of a directory, without a native `flock`.
 *
 * Guarantees: one holder per directory among the processes of one machine; the kernel frees the lock when its holder
 * dies, by whatever signal. The lock is a listening endpoint named after the real path of the directory: an abstract
 * socket on Linux, a named pipe on Windows.
 *
 * Residuals. Elsewhere (macOS, BSD) the endpoint is a socket file: a dead holder's file is found out by a refused
 * connection and replaced, and two processes replacing it within the same millisecond may both succeed. Abstract
 * sockets belong to a network namespace: containers that share a directory but no network do not see each other's
 * lock, nor do machines that share a network volume. Any local user can take the name and so keep us from starting.
 */
import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { ReplicationError } from '../errors.ts';

/** Throws `already-running`, or the system's error when `directory` cannot be resolved. Does not keep us alive. */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  const endpoint = endpointOf(await realpath(directory));
  const server = (await listen(endpoint)) ?? (await replaceDeadHolder(endpoint));
  if (server === undefined) {
    throw new ReplicationError(
      'already-running',
      `Cannot lock ${JSON.stringify(directory)}: another process holds it, expected it free`,
      { hint: 'stop the other process, or give this one a directory of its own' },
    );
  }
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

function endpointOf(realDirectory: string): string {
  const digest = createHash('sha256').update(realDirectory).digest('hex');
  if (process.platform === 'linux') return `\0siteferry-${digest}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\siteferry-${digest}`;
  // Socket paths hold 104 bytes on macOS, and TMPDIR differs between users: a fixed short place.
  return `/tmp/siteferry-${digest.slice(0, 32)}.sock`;
}

/** Undefined when the endpoint is taken. */
function listen(endpoint: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || (error.code === 'EACCES' && process.platform === 'win32')) resolve(undefined);
      else reject(error);
    });
    server.listen({ path: endpoint, exclusive: true }, () => resolve(server));
  });
}

async function replaceDeadHolder(endpoint: string): Promise<Server | undefined> {
  if (!endpoint.startsWith('/') || (await isAlive(endpoint))) return undefined;
  await rm(endpoint, { force: true });
  return listen(endpoint);
}

function isAlive(endpoint: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(endpoint);
    socket.once('connect', () => resolve(true));
    // Anything but a clear refusal counts as alive: refusing to start is the safe mistake.
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
    socket.once('connect', () => socket.destroy());
  });
}
