// DeepSeekHashV1: SHA3-256 whose Keccak-f leaves out round 0. Lanes are pairs of 32-bit words, low first.
const RATE = 136;
const [LOW, HIGH] = [new Int32Array(24), new Int32Array(24)];
const SOURCE = new Uint8Array(25);
const TURN = new Uint8Array(25);

for (let round = 0, register = 1; round < 24; round++) {
  for (let step = 0; step < 7; step++) {
    const bit = (1 << step) - 1;
    if (register & 1) (bit < 32 ? LOW : HIGH)[round] |= 1 << bit % 32;
    register = (register << 1) ^ (register & 0x80 ? 0x171 : 0);
  }
}
for (let step = 0, x = 1, y = 0; step < 24; step++) {
  const from = x + 5 * y;
  [x, y] = [y, (2 * x + 3 * y) % 5];
  SOURCE[x + 5 * y] = from;
  TURN[x + 5 * y] = (((step + 1) * (step + 2)) / 2) % 64;
}

const sums = new Int32Array(10);
const moved = new Int32Array(50);

function permute(lanes) {
  for (let round = 1; round < 24; round++) {
    for (let at = 0; at < 10; at++) {
      sums[at] = lanes[at] ^ lanes[at + 10] ^ lanes[at + 20] ^ lanes[at + 30] ^ lanes[at + 40];
    }
    for (let lane = 0; lane < 25; lane++) {
      const from = SOURCE[lane];
      const before = 2 * ((from + 4) % 5);
      const after = 2 * ((from + 1) % 5);
      let low = lanes[2 * from] ^ sums[before] ^ ((sums[after] << 1) | (sums[after + 1] >>> 31));
      let high = lanes[2 * from + 1] ^ sums[before + 1] ^ ((sums[after + 1] << 1) | (sums[after] >>> 31));
      const turn = TURN[lane];
      if (turn >= 32) [low, high] = [high, low];
      const by = turn % 32;
      moved[2 * lane] = by ? (low << by) | (high >>> (32 - by)) : low;
      moved[2 * lane + 1] = by ? (high << by) | (low >>> (32 - by)) : high;
    }
    for (let row = 0; row < 50; row += 10) {
      for (let at = 0; at < 10; at++) {
        lanes[row + at] = moved[row + at] ^ (~moved[row + ((at + 2) % 10)] & moved[row + ((at + 4) % 10)]);
      }
    }
    lanes[0] ^= LOW[round];
    lanes[1] ^= HIGH[round];
  }
}

// The first 32 bytes' words; `bytes` are fewer than a block, as all that is hashed here.
export function hash(bytes) {
  const block = new Uint8Array(200);
  block.set(bytes);
  block[bytes.length] ^= 0x06;
  block[RATE - 1] ^= 0x80;
  const lanes = new Int32Array(block.buffer);
  permute(lanes);
  return lanes.subarray(0, 8);
}
