/**
 * The last bytes of a terminal's output, by their offset from its first one. A machine without a clock, a socket or a pty.
 *
 *     start             confirmed               end
 *       ├── still here ────┼── not confirmed yet ──┤
 *
 * 1. A byte is given up only when its reader has confirmed it; what is confirmed stays for as long as its room is not needed,
 *    so that a page that is loaded anew finds the last of what it had.
 * 2. With `windowBytes` unconfirmed the source has to pause; below half of that it goes on.
 * 3. Memory: the window and what a source may still hand over after it was told to pause. It grows as it is needed.
 */

/** What comes after the pause at most; a larger piece is kept all the same, at the price of more memory. */
export const LATE_BYTES: number = 65_536;
const FIRST_BYTES = 16_384;

export class OutputRing {
  readonly #windowBytes: number;
  #bytes: Buffer;
  #start = 0;
  #confirmed = 0;
  #end = 0;
  #isFull = false;

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(FIRST_BYTES, windowBytes + LATE_BYTES));
  }

  /** Of the first byte that is still here. */
  get start(): number {
    return this.#start;
  }

  get confirmed(): number {
    return this.#confirmed;
  }

  /** Behind the last byte. */
  get end(): number {
    return this.#end;
  }

  /** Rule 2. */
  get isFull(): boolean {
    return this.#isFull;
  }

  get memoryBytes(): number {
    return this.#bytes.length;
  }

  write(piece: Uint8Array): void {
    this.#makeRoom(piece.length);
    const size = this.#bytes.length;
    const at = this.#end % size;
    const head = piece.subarray(0, size - at);
    this.#bytes.set(head, at);
    this.#bytes.set(piece.subarray(head.length), 0);
    this.#end += piece.length;
    this.#start = Math.max(this.#start, this.#end - size);
    this.#judge();
  }

  /** The reader has everything before `offset`; less than it said before changes nothing. @returns false where that is not so */
  confirm(offset: number): boolean {
    if (offset > this.#end) return false;
    this.#confirmed = Math.max(this.#confirmed, offset);
    this.#judge();
    return true;
  }

  /** A reader begins at `offset`: from there on nothing is confirmed. @returns false where its bytes are not here */
  begin(offset: number): boolean {
    if (offset < this.#start || offset > this.#end) return false;
    this.#confirmed = offset;
    this.#judge();
    return true;
  }

  /** A copy of what comes from `offset` on: the room may be needed before it is sent. */
  read(offset: number, bytesMax: number): Buffer {
    const bytes = Math.min(bytesMax, this.#end - offset);
    const target = Buffer.allocUnsafe(bytes);
    this.#copy(target, offset);
    return target;
  }

  #judge(): void {
    const held = this.#end - this.#confirmed;
    if (held >= this.#windowBytes) this.#isFull = true;
    else if (held < this.#windowBytes / 2) this.#isFull = false;
  }

  /** Rules 1 and 3. */
  #makeRoom(bytes: number): void {
    const needed = this.#end - this.#confirmed + bytes;
    const wanted = Math.max(needed, Math.min(this.#end - this.#start + bytes, this.#windowBytes + LATE_BYTES));
    if (wanted <= this.#bytes.length) return;
    const doubled = Math.min(this.#bytes.length * 2, this.#windowBytes + LATE_BYTES);
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, doubled));
    for (let offset = this.#start; offset < this.#end;) {
      // Each byte goes to its place in the larger one, in stretches that neither of the two breaks.
      const from = offset % this.#bytes.length;
      const to = offset % larger.length;
      const stretch = Math.min(this.#end - offset, this.#bytes.length - from, larger.length - to);
      this.#bytes.copy(larger, to, from, from + stretch);
      offset += stretch;
    }
    this.#bytes = larger;
  }

  #copy(target: Buffer, offset: number): void {
    const from = offset % this.#bytes.length;
    const head = Math.min(target.length, this.#bytes.length - from);
    this.#bytes.copy(target, 0, from, from + head);
    this.#bytes.copy(target, head, 0, target.length - head);
  }
}
