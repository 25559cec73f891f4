// The proof's worker: finds the number whose hash is the challenge.
import { hash } from "./keccak.js";

function solve({ challenge, salt, expire_at, difficulty }) {
  const target = new Int32Array(Uint8Array.from(challenge.match(/../g), (pair) => parseInt(pair, 16)).buffer);
  const encoder = new TextEncoder();
  for (let answer = 0; answer < difficulty; answer++) {
    const found = hash(encoder.encode(`${salt}_${expire_at}_${answer}`));
    if (found[0] === target[0] && found.every((word, at) => word === target[at])) return answer;
  }
  return null;
}

self.onmessage = ({ data }) => self.postMessage(solve(data));
