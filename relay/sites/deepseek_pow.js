// DeepSeekHashV1 is SHA3-256 whose permutation leaves out its first round. Finds the whole number below `difficulty`
// that makes the hash of `prefix` and its digits `target` (hex); null where there is none, or not within `withinMs`.
// It works in slices, so the page stays alive: a page's policy may forbid workers made of text, and WebAssembly.
async function (target, prefix, difficulty, withinMs) {
  const RATE = 136; // bytes
  const SLICE_MS = 8;
  const ROTATIONS = [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
  const LANES = [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];
  const ROUNDS = [ // high and low half of the constant of each round but the first
    0, 0x8082, 0x80000000, 0x808a, 0x80000000, 0x80008000, 0, 0x808b, 0, 0x80000001, 0x80000000, 0x80008081,
    0x80000000, 0x8009, 0, 0x8a, 0, 0x88, 0, 0x80008009, 0, 0x8000000a, 0, 0x8000808b, 0x80000000, 0x8b,
    0x80000000, 0x8089, 0x80000000, 0x8003, 0x80000000, 0x8002, 0x80000000, 0x80, 0, 0x800a, 0x80000000, 0x8000000a,
    0x80000000, 0x80008081, 0x80000000, 0x8080, 0, 0x80000001, 0x80000000, 0x80008008,
  ];
  const rotations = Int32Array.from(ROTATIONS);
  const lanes = Int32Array.from(LANES, lane => 2 * lane);
  const rounds = Int32Array.from(ROUNDS);

  // The state is 25 lanes of 64 bits, each as its low and its high half.
  const parity = new Int32Array(10);
  const row = new Int32Array(10);
  const permute = s => {
    for (let round = 0; round < rounds.length; round += 2) {
      for (let x = 0; x < 10; x++) parity[x] = s[x] ^ s[x + 10] ^ s[x + 20] ^ s[x + 30] ^ s[x + 40];
      for (let x = 0; x < 10; x += 2) {
        const before = x < 2 ? x + 8 : x - 2, after = x > 6 ? x - 8 : x + 2;
        const low = parity[before] ^ ((parity[after] << 1) | (parity[after + 1] >>> 31));
        const high = parity[before + 1] ^ ((parity[after + 1] << 1) | (parity[after] >>> 31));
        for (let y = x; y < 50; y += 10) {
          s[y] ^= low;
          s[y + 1] ^= high;
        }
      }
      let low = s[2], high = s[3];
      for (let at = 0; at < 24; at++) {
        const by = rotations[at] & 31, lane = lanes[at];
        if (rotations[at] & 32) [low, high] = [high, low];
        const turned = (low << by) | (high >>> (32 - by)); // none of them turns by 32
        const other = (high << by) | (low >>> (32 - by));
        low = s[lane];
        high = s[lane + 1];
        s[lane] = turned;
        s[lane + 1] = other;
      }
      for (let y = 0; y < 50; y += 10) {
        for (let x = 0; x < 10; x++) row[x] = s[y + x];
        for (let x = 0; x < 10; x++) s[y + x] ^= ~row[(x + 2) % 10] & row[(x + 4) % 10];
      }
      s[1] ^= rounds[round];
      s[0] ^= rounds[round + 1];
    }
  };
  const absorb = (s, bytes) => {
    for (let at = 0; at < RATE; at++) s[at >> 2] ^= bytes[at] << (8 * (at & 3));
    permute(s);
  };

  // What all messages have in common is hashed once: `start` after the whole blocks of the prefix, `tail` the rest of it.
  const bytes = new TextEncoder().encode(prefix);
  const start = new Int32Array(50);
  const whole = bytes.length - (bytes.length % RATE);
  for (let at = 0; at < whole; at += RATE) absorb(start, bytes.subarray(at, at + RATE));
  const block = new Uint8Array(2 * RATE);
  const tail = bytes.length - whole;
  const wanted = new Int32Array(8);
  for (let at = 0; at < 32; at++) wanted[at >> 2] |= parseInt(target.slice(2 * at, 2 * at + 2), 16) << (8 * (at & 3));

  const state = new Int32Array(50);
  const matches = number => {
    const digits = String(number);
    const end = tail + digits.length;
    const size = end < RATE ? RATE : 2 * RATE;
    block.fill(0);
    block.set(bytes.subarray(whole));
    for (let at = 0; at < digits.length; at++) block[tail + at] = digits.charCodeAt(at);
    block[end] = 0x06;
    block[size - 1] |= 0x80;
    state.set(start);
    for (let at = 0; at < size; at += RATE) absorb(state, block.subarray(at, at + RATE));
    return wanted.every((word, at) => word === state[at]);
  };

  const channel = new MessageChannel(); // a timer would be slowed down in a page that nobody looks at
  const pause = () => new Promise(resolve => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(0);
  });
  const end = performance.now() + withinMs;
  try {
    for (let number = 0; number < difficulty;) {
      const slice = performance.now() + SLICE_MS;
      if (slice > end) return null;
      do {
        for (const until = Math.min(number + 16, difficulty); number < until; number++) if (matches(number)) return number;
      } while (number < difficulty && performance.now() < slice);
      await pause();
    }
    return null;
  } finally {
    channel.port1.close();
  }
}
