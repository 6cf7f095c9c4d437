/** Bytes that tell their own offset, so that a lost, doubled or moved chunk shows. */

/** A prime: no power of two of bytes can go missing unseen. */
const PERIOD_BYTES = 65_521;

const PATTERN: Uint8Array = makePattern();

function makePattern(): Uint8Array {
  const bytes = new Uint8Array(PERIOD_BYTES);
  let state = 1;
  for (let i = 0; i < PERIOD_BYTES; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function patternBytes(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const piece = PATTERN.subarray((offset + done) % PERIOD_BYTES).subarray(0, length - done);
    bytes.set(piece, done);
    done += piece.length;
  }
  return bytes;
}

export function patternHolds(bytes: Uint8Array, offset: number): boolean {
  for (let i = 0, at = offset % PERIOD_BYTES; i < bytes.length; i++) {
    if (bytes[i] !== PATTERN[at]) return false;
    if (++at === PERIOD_BYTES) at = 0;
  }
  return true;
}
