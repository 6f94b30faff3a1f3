/**
 * A few lines on a terminal that are drawn again in place. In a pipe each distinct line is printed once: what changed
 * is what is shown. Our own thirty lines: no line here wraps, which is most of what libraries for this do.
 */
import { stripVTControlCharacters } from 'node:util';
import type { TextStream } from './shell.ts';

export class LiveLines {
  readonly #stream: TextStream;
  #shown: readonly string[] = [];

  constructor(stream: TextStream) {
    this.#stream = stream;
  }

  show(lines: readonly string[]): void {
    if (this.#stream.isTerminal) {
      const width = this.#stream.columns - 1;
      const cut = lines.map((line) =>
        stripVTControlCharacters(line).length <= width ? line : stripVTControlCharacters(line).slice(0, width),
      );
      this.#stream.write(`${this.#eraseShown()}${cut.map((line) => `${line}\n`).join('')}`);
    } else {
      for (const line of lines) if (!this.#shown.includes(line)) this.#stream.write(`${line}\n`);
    }
    this.#shown = lines;
  }

  /** Prints lines that stay, above the live ones. */
  print(line: string): void {
    const shown = this.#shown;
    if (!this.#stream.isTerminal) {
      this.#stream.write(`${line}\n`);
      return;
    }
    this.#stream.write(`${this.#eraseShown()}${line}\n`);
    this.#shown = [];
    this.show(shown);
  }

  /** Takes the live lines away. */
  clear(): void {
    if (this.#stream.isTerminal) this.#stream.write(this.#eraseShown());
    this.#shown = [];
  }

  #eraseShown(): string {
    return this.#shown.length === 0 ? '' : `\x1b[${this.#shown.length}A\x1b[0J`;
  }
}
