// Runs in an isolated world: it shares the page's DOM and events, not its globals (so React's patched value
// setter is not ours, and el.value = text is the native one). A candidate is {css, text?, unlike?}; order is preference.
(post, files, markdown) => {
  const INTERVAL_MS = 15;
  const PIECE = 1000; // characters
  const WALLED_MS = 1000;
  const WALL = "a wall";
  const watching = new Map();

  const visible = element => {
    if (element.matches("input[type=file]")) return true;
    return element.checkVisibility ? element.checkVisibility() : element.getClientRects().length > 0;
  };
  const said = element => (element.innerText ?? element.textContent ?? "").trim();
  const matching = candidates => {
    for (const { css, text, unlike } of candidates) {
      const found = [...document.querySelectorAll(css)].filter(
        element => visible(element) && (!text || said(element) === text) && !(unlike && said(element).includes(unlike)),
      );
      if (found.length) return found;
    }
    return [];
  };
  const enabled = element =>
    !element.disabled && element.getAttribute("aria-disabled") !== "true" && !element.closest("[inert]");

  // Resolves with the first non-empty value of look(); with null when the clock ran out.
  const until = (look, timeoutMs) => {
    const first = look();
    if (first) return first;
    return new Promise(resolve => {
      const watcher = new MutationObserver(check);
      const timer = setInterval(check, INTERVAL_MS);
      const end = performance.now() + timeoutMs;
      function check() {
        const value = look();
        if (!value && performance.now() < end) return;
        watcher.disconnect();
        clearInterval(timer);
        resolve(value || null);
      }
      watcher.observe(document, { subtree: true, childList: true, attributes: true });
    });
  };
  const first = (candidates, timeoutMs, usable = enabled) =>
    until(() => matching(candidates).find(usable), timeoutMs);

  const bare = text => text.replace(/\s+/g, "");
  const selectAll = element => {
    element.focus();
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  // Ways to fill an editor, in the order measured: a synthetic paste takes 0.1 s for 20 KB where insertText takes seconds.
  const ways = {
    paste(element, text) {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", text);
      element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true, composed: true }));
    },
    // Each goes where the one before it ended.
    async pieces(element, text) {
      for (let at = 0, end; at < text.length; at = end) {
        end = at + PIECE;
        if (/[\ud800-\udbff\r]/.test(text[end - 1] ?? "")) end += 1; // no character and no line end is cut in two
        ways.paste(element, text.slice(at, end));
        if (!(await settled(element, text.slice(0, end)))) return;
      }
    },
    insertText(element, text) {
      document.execCommand("insertText", false, text);
    },
  };
  const settled = (element, text) =>
    until(() => bare(element.textContent) === bare(text), 300 + text.length / 20);

  const fill = async (element, text, order) => {
    element.focus();
    if (element instanceof HTMLTextAreaElement || element instanceof HTMLInputElement) {
      element.value = text;
      element.dispatchEvent(new InputEvent("input", { bubbles: true, composed: true, inputType: "insertText", data: null }));
      return "setter";
    }
    for (const way of order) {
      selectAll(element);
      if (bare(element.textContent) && way !== "insertText") document.execCommand("delete");
      await ways[way](element, text);
      if (await settled(element, text)) return way;
    }
    return null;
  };

  return {
    // What stands before the page (`walls`) for a while without an input behind it will not go away by itself.
    async submit({ input, send, walls, text, timeoutMs, ways: order }) {
      let since = 0;
      const walled = () => {
        since = matching(walls).length ? since || performance.now() : 0;
        return since && performance.now() - since > WALLED_MS;
      };
      const box = await until(() => matching(input).find(enabled) ?? (walled() ? WALL : null), timeoutMs);
      if (!box || box === WALL) return { missing: "input" };
      const how = await fill(box, text, order);
      if (!how) return { missing: "input", why: "it did not take the text" };
      const button = await first(send, timeoutMs);
      if (!button) return { missing: "send" };
      button.click();
      return { how };
    },
    async click(candidates, timeoutMs) {
      const element = await first(candidates, timeoutMs);
      element?.click();
      return Boolean(element);
    },
    // Menus of the common libraries open at pointerdown, others at click.
    async press(candidates, text, timeoutMs) {
      const headline = element => said(element).split("\n")[0].trim().toLowerCase();
      const meant = element => enabled(element) && (!text || headline(element) === text.toLowerCase());
      const all = () => candidates.flatMap(candidate => matching([candidate]));
      const element = await until(() => all().find(meant), timeoutMs);
      if (!element) return false;
      const options = { bubbles: true, cancelable: true, composed: true, button: 0 };
      for (const step of ["down", "up"]) {
        element.dispatchEvent(new PointerEvent(`pointer${step}`, { ...options, pointerType: "mouse", isPrimary: true }));
        element.dispatchEvent(new MouseEvent(`mouse${step}`, options));
      }
      element.click();
      return true;
    },
    async wait(candidates, timeoutMs) {
      return Boolean(await first(candidates, timeoutMs, () => true));
    },
    count(candidates) {
      return matching(candidates).length;
    },
    async attach(candidates, keys, timeoutMs) {
      const input = await first(candidates, timeoutMs);
      if (!input) return false;
      const transfer = new DataTransfer();
      for (const file of files(keys)) transfer.items.add(file);
      input.files = transfer.files;
      input.dispatchEvent(new Event("input", { bubbles: true }));
      input.dispatchEvent(new Event("change", { bubbles: true }));
      return true;
    },
    async choose(candidates, value, timeoutMs) {
      const select = await first(candidates, timeoutMs);
      if (!select) return false;
      if (select.value !== value) {
        select.value = value;
        select.dispatchEvent(new Event("input", { bubbles: true }));
        select.dispatchEvent(new Event("change", { bubbles: true }));
      }
      return select.value === value;
    },

    // The dom driver: follow the newest answer after `before` older ones, until the page is idle again.
    // `faults` maps what the page may show instead of an answer (error, limited, wall, ...) to its candidates.
    watch({ nonce, answer, reasoning, busy, faults, before, thoughts, drop, settleMs }) {
      const emit = message => post(nonce + "m" + JSON.stringify(message));
      const shows = node => node && (node.textContent.trim() || node.querySelector("img, video, audio, hr"));
      const parts = {};
      let sawBusy = false;
      let changed = performance.now();
      const follow = (kind, newest) => {
        parts[kind] ??= markdown(newest, { drop }, update => {
          changed = performance.now();
          post(`${nonce}m{"kind":"${kind}","update":${update}}`);
        });
      };
      const tick = () => {
        const newest = () => (matching(answer).length > before ? matching(answer).at(-1) : null);
        const thought = () => matching(reasoning).at(thoughts) ?? null;
        if (!parts.text && newest()) follow("text", newest);
        if (!parts.reasoning && thought()) follow("reasoning", thought);
        const running = matching(busy).length > 0;
        sawBusy ||= running;
        for (const [fault, candidates] of Object.entries(faults)) {
          const shown = matching(candidates).at(-1);
          if (shown) return finish({ kind: "fault", fault, text: said(shown).slice(0, 500) });
        }
        const quiet = performance.now() - changed;
        // An answer that shows nothing yet has not ended, however idle the page looks: there is no empty success.
        if (!running && parts.text && shows(newest()) && quiet > (sawBusy ? settleMs : 4 * settleMs)) finish({ kind: "end" });
      };
      const finish = message => {
        clearInterval(timer);
        for (const part of Object.values(parts)) part.stop();
        emit(message);
        watching.delete(nonce);
      };
      const timer = setInterval(tick, 2 * INTERVAL_MS);
      watching.set(nonce, () => clearInterval(timer));
      tick();
    },
    unwatch(nonce) {
      watching.get(nonce)?.();
      watching.delete(nonce);
    },
  };
}
