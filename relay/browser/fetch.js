// Runs in an isolated world of the page: same origin, cookies and DOM; the page's own scripts cannot see it.
// `post` is a CDP binding that exists in this world only. A message is nonce + one letter + payload:
// h head (JSON), d data (base64), e end, x error (JSON).
post => {
  const running = new Map();
  const staged = new Map();
  const PIECE = 768 * 1024; // bytes; a multiple of 3, so that pieces of base64 never need padding inside

  const base64 = bytes => {
    if (bytes.toBase64) return bytes.toBase64();
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  };
  const bytesOf = text => {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    return Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  };
  const take = key => {
    const parts = staged.get(key) ?? [];
    staged.delete(key);
    return new Blob(parts);
  };
  const bodyOf = body => {
    if (!body) return undefined;
    if (body.text !== undefined) return body.text;
    if (body.base64 !== undefined) return bytesOf(body.base64);
    if (body.staged !== undefined) return take(body.staged);
    const form = new FormData();
    for (const part of body.form) {
      if (part.staged === undefined) form.append(part.name, part.value);
      else form.append(part.name, new File([take(part.staged)], part.filename, { type: part.type }));
    }
    return form;
  };

  const run = async ({ nonce, url, method, headers, body, redirect, credentials }) => {
    const stop = new AbortController();
    running.set(nonce, stop);
    let head = false;
    try {
      const answer = await fetch(url, {
        method, headers, redirect, body: bodyOf(body), credentials, signal: stop.signal,
        // Answers by GET have addresses of their own: the cache would keep every one, up to tens of MiB per context.
        cache: method === "GET" ? "no-store" : "default",
      });
      post(nonce + "h" + JSON.stringify({ status: answer.status, url: answer.url, type: answer.type, headers: [...answer.headers] }));
      head = true;
      const reader = answer.body?.getReader();
      for (;;) {
        const { done, value } = reader ? await reader.read() : { done: true };
        if (done) break;
        for (let at = 0; at < value.length; at += PIECE) post(nonce + "d" + base64(value.subarray(at, at + PIECE)));
      }
      post(nonce + "e");
    } catch (error) {
      post(nonce + "x" + JSON.stringify({ head, aborted: stop.signal.aborted, message: String(error).slice(0, 300) }));
    } finally {
      running.delete(nonce);
    }
  };

  return {
    start(call) { void run(call); },
    abort(nonce) { running.get(nonce)?.abort(); },
    stage(key, text) {
      if (!staged.has(key)) staged.set(key, []);
      staged.get(key).push(bytesOf(text));
    },
    files(keys) {
      return keys.map(({ key, name, type }) => new File([take(key)], name, { type }));
    },
  };
}
