// DeepSeekHashV1 is SHA3-256 whose permutation leaves out its first round. Finds the whole number below `difficulty`
// that makes the hash of `prefix` and its digits `target` (hex); null where there is none, or not within `withinMs`.
// It works in slices, so the page stays alive: a page's policy may forbid workers made of text, and WebAssembly.
async function (target, prefix, difficulty, withinMs) {
  const RATE = 136; // bytes
  const SLICE_MS = 8;
  const ROUNDS = Int32Array.of( // high and low half of the constant of each round but the first
    0, 0x8082, 0x80000000, 0x808a, 0x80000000, 0x80008000, 0, 0x808b, 0, 0x80000001, 0x80000000, 0x80008081,
    0x80000000, 0x8009, 0, 0x8a, 0, 0x88, 0, 0x80008009, 0, 0x8000000a, 0, 0x8000808b, 0x80000000, 0x8b,
    0x80000000, 0x8089, 0x80000000, 0x8003, 0x80000000, 0x8002, 0x80000000, 0x80, 0, 0x800a, 0x80000000, 0x8000000a,
    0x80000000, 0x80008081, 0x80000000, 0x8080, 0, 0x80000001, 0x80000000, 0x80008008,
  );

  // Keccak's rounds on 25 lanes of 64 bits, each as its low half (l) and its high half (h); BigInt would be far slower.
  // Written out lane by lane, as loops over tables are several times as slow: p are the parities of the columns, d what
  // they change, b the lanes turned and moved.
  const permute = s => {
    let
      l0 = s[0], h0 = s[1], l1 = s[2], h1 = s[3], l2 = s[4], h2 = s[5], l3 = s[6], h3 = s[7], l4 = s[8], h4 = s[9],
      l5 = s[10], h5 = s[11], l6 = s[12], h6 = s[13], l7 = s[14], h7 = s[15], l8 = s[16], h8 = s[17],
      l9 = s[18], h9 = s[19], l10 = s[20], h10 = s[21], l11 = s[22], h11 = s[23], l12 = s[24], h12 = s[25],
      l13 = s[26], h13 = s[27], l14 = s[28], h14 = s[29], l15 = s[30], h15 = s[31], l16 = s[32], h16 = s[33],
      l17 = s[34], h17 = s[35], l18 = s[36], h18 = s[37], l19 = s[38], h19 = s[39], l20 = s[40], h20 = s[41],
      l21 = s[42], h21 = s[43], l22 = s[44], h22 = s[45], l23 = s[46], h23 = s[47], l24 = s[48], h24 = s[49];
    for (let round = 0; round < ROUNDS.length; round += 2) {
      const pl0 = l0 ^ l5 ^ l10 ^ l15 ^ l20, ph0 = h0 ^ h5 ^ h10 ^ h15 ^ h20;
      const pl1 = l1 ^ l6 ^ l11 ^ l16 ^ l21, ph1 = h1 ^ h6 ^ h11 ^ h16 ^ h21;
      const pl2 = l2 ^ l7 ^ l12 ^ l17 ^ l22, ph2 = h2 ^ h7 ^ h12 ^ h17 ^ h22;
      const pl3 = l3 ^ l8 ^ l13 ^ l18 ^ l23, ph3 = h3 ^ h8 ^ h13 ^ h18 ^ h23;
      const pl4 = l4 ^ l9 ^ l14 ^ l19 ^ l24, ph4 = h4 ^ h9 ^ h14 ^ h19 ^ h24;
      const dl0 = pl4 ^ (pl1 << 1 | ph1 >>> 31), dh0 = ph4 ^ (ph1 << 1 | pl1 >>> 31);
      const dl1 = pl0 ^ (pl2 << 1 | ph2 >>> 31), dh1 = ph0 ^ (ph2 << 1 | pl2 >>> 31);
      const dl2 = pl1 ^ (pl3 << 1 | ph3 >>> 31), dh2 = ph1 ^ (ph3 << 1 | pl3 >>> 31);
      const dl3 = pl2 ^ (pl4 << 1 | ph4 >>> 31), dh3 = ph2 ^ (ph4 << 1 | pl4 >>> 31);
      const dl4 = pl3 ^ (pl0 << 1 | ph0 >>> 31), dh4 = ph3 ^ (ph0 << 1 | pl0 >>> 31);
      l0 ^= dl0; h0 ^= dh0; l1 ^= dl1; h1 ^= dh1; l2 ^= dl2; h2 ^= dh2; l3 ^= dl3; h3 ^= dh3; l4 ^= dl4; h4 ^= dh4;
      l5 ^= dl0; h5 ^= dh0; l6 ^= dl1; h6 ^= dh1; l7 ^= dl2; h7 ^= dh2; l8 ^= dl3; h8 ^= dh3; l9 ^= dl4; h9 ^= dh4;
      l10 ^= dl0; h10 ^= dh0; l11 ^= dl1; h11 ^= dh1; l12 ^= dl2; h12 ^= dh2; l13 ^= dl3; h13 ^= dh3;
      l14 ^= dl4; h14 ^= dh4; l15 ^= dl0; h15 ^= dh0; l16 ^= dl1; h16 ^= dh1; l17 ^= dl2; h17 ^= dh2;
      l18 ^= dl3; h18 ^= dh3; l19 ^= dl4; h19 ^= dh4; l20 ^= dl0; h20 ^= dh0; l21 ^= dl1; h21 ^= dh1;
      l22 ^= dl2; h22 ^= dh2; l23 ^= dl3; h23 ^= dh3; l24 ^= dl4; h24 ^= dh4;
      const bl0 = l0, bh0 = h0;
      const bl10 = l1 << 1 | h1 >>> 31, bh10 = h1 << 1 | l1 >>> 31;
      const bl7 = l10 << 3 | h10 >>> 29, bh7 = h10 << 3 | l10 >>> 29;
      const bl11 = l7 << 6 | h7 >>> 26, bh11 = h7 << 6 | l7 >>> 26;
      const bl17 = l11 << 10 | h11 >>> 22, bh17 = h11 << 10 | l11 >>> 22;
      const bl18 = l17 << 15 | h17 >>> 17, bh18 = h17 << 15 | l17 >>> 17;
      const bl3 = l18 << 21 | h18 >>> 11, bh3 = h18 << 21 | l18 >>> 11;
      const bl5 = l3 << 28 | h3 >>> 4, bh5 = h3 << 28 | l3 >>> 4;
      const bl16 = h5 << 4 | l5 >>> 28, bh16 = l5 << 4 | h5 >>> 28;
      const bl8 = h16 << 13 | l16 >>> 19, bh8 = l16 << 13 | h16 >>> 19;
      const bl21 = h8 << 23 | l8 >>> 9, bh21 = l8 << 23 | h8 >>> 9;
      const bl24 = l21 << 2 | h21 >>> 30, bh24 = h21 << 2 | l21 >>> 30;
      const bl4 = l24 << 14 | h24 >>> 18, bh4 = h24 << 14 | l24 >>> 18;
      const bl15 = l4 << 27 | h4 >>> 5, bh15 = h4 << 27 | l4 >>> 5;
      const bl23 = h15 << 9 | l15 >>> 23, bh23 = l15 << 9 | h15 >>> 23;
      const bl19 = h23 << 24 | l23 >>> 8, bh19 = l23 << 24 | h23 >>> 8;
      const bl13 = l19 << 8 | h19 >>> 24, bh13 = h19 << 8 | l19 >>> 24;
      const bl12 = l13 << 25 | h13 >>> 7, bh12 = h13 << 25 | l13 >>> 7;
      const bl2 = h12 << 11 | l12 >>> 21, bh2 = l12 << 11 | h12 >>> 21;
      const bl20 = h2 << 30 | l2 >>> 2, bh20 = l2 << 30 | h2 >>> 2;
      const bl14 = l20 << 18 | h20 >>> 14, bh14 = h20 << 18 | l20 >>> 14;
      const bl22 = h14 << 7 | l14 >>> 25, bh22 = l14 << 7 | h14 >>> 25;
      const bl9 = h22 << 29 | l22 >>> 3, bh9 = l22 << 29 | h22 >>> 3;
      const bl6 = l9 << 20 | h9 >>> 12, bh6 = h9 << 20 | l9 >>> 12;
      const bl1 = h6 << 12 | l6 >>> 20, bh1 = l6 << 12 | h6 >>> 20;
      l0 = bl0 ^ ~bl1 & bl2; h0 = bh0 ^ ~bh1 & bh2;
      l1 = bl1 ^ ~bl2 & bl3; h1 = bh1 ^ ~bh2 & bh3;
      l2 = bl2 ^ ~bl3 & bl4; h2 = bh2 ^ ~bh3 & bh4;
      l3 = bl3 ^ ~bl4 & bl0; h3 = bh3 ^ ~bh4 & bh0;
      l4 = bl4 ^ ~bl0 & bl1; h4 = bh4 ^ ~bh0 & bh1;
      l5 = bl5 ^ ~bl6 & bl7; h5 = bh5 ^ ~bh6 & bh7;
      l6 = bl6 ^ ~bl7 & bl8; h6 = bh6 ^ ~bh7 & bh8;
      l7 = bl7 ^ ~bl8 & bl9; h7 = bh7 ^ ~bh8 & bh9;
      l8 = bl8 ^ ~bl9 & bl5; h8 = bh8 ^ ~bh9 & bh5;
      l9 = bl9 ^ ~bl5 & bl6; h9 = bh9 ^ ~bh5 & bh6;
      l10 = bl10 ^ ~bl11 & bl12; h10 = bh10 ^ ~bh11 & bh12;
      l11 = bl11 ^ ~bl12 & bl13; h11 = bh11 ^ ~bh12 & bh13;
      l12 = bl12 ^ ~bl13 & bl14; h12 = bh12 ^ ~bh13 & bh14;
      l13 = bl13 ^ ~bl14 & bl10; h13 = bh13 ^ ~bh14 & bh10;
      l14 = bl14 ^ ~bl10 & bl11; h14 = bh14 ^ ~bh10 & bh11;
      l15 = bl15 ^ ~bl16 & bl17; h15 = bh15 ^ ~bh16 & bh17;
      l16 = bl16 ^ ~bl17 & bl18; h16 = bh16 ^ ~bh17 & bh18;
      l17 = bl17 ^ ~bl18 & bl19; h17 = bh17 ^ ~bh18 & bh19;
      l18 = bl18 ^ ~bl19 & bl15; h18 = bh18 ^ ~bh19 & bh15;
      l19 = bl19 ^ ~bl15 & bl16; h19 = bh19 ^ ~bh15 & bh16;
      l20 = bl20 ^ ~bl21 & bl22; h20 = bh20 ^ ~bh21 & bh22;
      l21 = bl21 ^ ~bl22 & bl23; h21 = bh21 ^ ~bh22 & bh23;
      l22 = bl22 ^ ~bl23 & bl24; h22 = bh22 ^ ~bh23 & bh24;
      l23 = bl23 ^ ~bl24 & bl20; h23 = bh23 ^ ~bh24 & bh20;
      l24 = bl24 ^ ~bl20 & bl21; h24 = bh24 ^ ~bh20 & bh21;
      h0 ^= ROUNDS[round]; l0 ^= ROUNDS[round + 1];
    }
    s[0] = l0; s[1] = h0; s[2] = l1; s[3] = h1; s[4] = l2; s[5] = h2; s[6] = l3; s[7] = h3; s[8] = l4; s[9] = h4;
    s[10] = l5; s[11] = h5; s[12] = l6; s[13] = h6; s[14] = l7; s[15] = h7; s[16] = l8; s[17] = h8;
    s[18] = l9; s[19] = h9; s[20] = l10; s[21] = h10; s[22] = l11; s[23] = h11; s[24] = l12; s[25] = h12;
    s[26] = l13; s[27] = h13; s[28] = l14; s[29] = h14; s[30] = l15; s[31] = h15; s[32] = l16; s[33] = h16;
    s[34] = l17; s[35] = h17; s[36] = l18; s[37] = h18; s[38] = l19; s[39] = h19; s[40] = l20; s[41] = h20;
    s[42] = l21; s[43] = h21; s[44] = l22; s[45] = h22; s[46] = l23; s[47] = h23; s[48] = l24; s[49] = h24;
  };
  const absorb = (s, bytes) => {
    for (let at = 0; at < RATE; at++) s[at >> 2] ^= bytes[at] << (8 * (at & 3));
    permute(s);
  };

  // What all messages have in common is hashed once: `start` is the state after the prefix's whole blocks.
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
        if (matches(number)) return number;
        number++;
      } while (number < difficulty && (number % 16 || performance.now() < slice));
      await pause();
    }
    return null;
  } finally {
    channel.port1.close();
  }
}
