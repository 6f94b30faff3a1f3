/** Counts the bytes of a set of sockets as the operating system was given and gave them, closed sockets included. */
import type { Socket } from 'node:net';
import type { WireBytes } from './network.ts';

export class WireCount {
  readonly #open = new Set<Socket>();
  #sent = 0;
  #received = 0;

  /** `socket` is counted from its first byte, whenever it is added. */
  add(socket: Socket): void {
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#sent += socket.bytesWritten;
      this.#received += socket.bytesRead;
    });
  }

  total(): WireBytes {
    let sent = this.#sent;
    let received = this.#received;
    for (const socket of this.#open) {
      sent += socket.bytesWritten;
      received += socket.bytesRead;
    }
    return { sent, received };
  }

  /** Resolves when all sockets are closed; the caller has ended them. */
  async settle(): Promise<void> {
    await Promise.all([...this.#open].map((socket) => new Promise<void>((resolve) => socket.once('close', resolve))));
  }
}
