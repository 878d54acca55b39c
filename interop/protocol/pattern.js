// The contents of test messages: both ends make them from a seed, so only a hash travels back. A page loads this
// file as a script, a program imports it.
'use strict';

const pattern = {
  // A prime, so that messages of a round size swapped or lost change the whole.
  period: 65521,

  // A linear congruential sequence (the top byte of each step), repeated after a period.
  bytes(size, seed) {
    const out = new Uint8Array(size);
    let x = seed >>> 0;
    const block = Math.min(size, pattern.period);
    for (let i = 0; i < block; i++) {
      x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
      out[i] = x >>> 24;
    }
    for (let at = block; at < size; at += block) out.copyWithin(at, 0, Math.min(block, size - at));
    return out;
  },

  // Exactly `size` bytes of UTF-8: a euro sign where it fits, then printable ASCII.
  text(size, seed) {
    let text = size >= 3 ? '€' : '';
    for (let i = size >= 3 ? 3 : 0; i < size; i++) text += String.fromCharCode(32 + ((seed + i * 7) % 95));
    return text;
  },

  async hash(bytes) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return [...digest].map((b) => b.toString(16).padStart(2, '0')).join('');
  },
};

globalThis.pattern = pattern;
