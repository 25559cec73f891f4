// Watches an answer on the page and reports its top-level blocks as they change.
//
//   observe(root, options, emit) -> { flush(), stop() }
//     root     Element | CSS selector (its last match) | () => Element or null; looked up again when it leaves the page
//     options  { drop: [selector, ...]  what is not part of the answer, beside the generic rules below
//                interval_ms: 25 }      least time between two reports; more when a report costs more
//     emit     called with JSON: {"n": number of blocks, "changed": [[index, html], ...]}; html is "" for a blank block
//     flush()  reports at once what has changed; stop() does so too, and ends
//
// One expression, nothing global, no eval: for an isolated world. The page is only read: blocks are cleaned as clones.
// requestAnimationFrame rests in hidden tabs and timers slow down there, so a report goes out from the mutation
// callback itself when the interval has passed; the timer is for the last changes before a pause.
(function observe(root, options, emit) {
  const INLINE = new Set(
    ("A ABBR B BDI BDO BIG BR CITE CODE DATA DEL DFN EM FONT I IMG INPUT INS KBD LABEL MARK Q S SAMP SMALL SPAN STRIKE " +
      "STRONG SUB SUP TIME TT U VAR WBR MATH RELAY-TEX").split(" "),
  );
  const WRAPPER = new Set(["DIV", "SECTION", "SPAN", "ARTICLE"]);
  const BUTTON = "button,[role=button]";
  const DROP = [
    BUTTON, "[role=tooltip],[role=toolbar],[role=menu]", "style,script,noscript,template,link,meta", "svg,canvas,video",
    "audio,iframe,object,textarea,select,input:not([type=checkbox])", "[hidden]", ...((options && options.drop) || []),
  ].join(",");
  const interval = (options && options.interval_ms) || 25;
  const TEX = 'annotation[encoding="application/x-tex"]';

  const find = () => {
    if (typeof root === "function") return root();
    if (typeof root !== "string") return root;
    const all = document.querySelectorAll(root);
    return all[all.length - 1] || null;
  };

  // -- cleaning a clone -------------------------------------------------------------------------------------------

  const tex = (source, block) => {
    const element = document.createElement("relay-tex");
    if (block) element.setAttribute("block", "");
    element.textContent = source;
    return element;
  };

  const formulas = (clone) => {
    for (const note of clone.querySelectorAll(TEX)) {
      const math = note.closest("math");
      const inner = note.closest(".katex") || note.closest("mjx-container") || math || note;
      const display = inner.closest(".katex-display");
      const block = display || (math && math.getAttribute("display") === "block") || inner.getAttribute("display");
      const outer = display || inner;
      if (outer.parentNode) outer.replaceWith(tex(note.textContent, block));
    }
    for (const element of clone.querySelectorAll("[data-math]")) {
      element.replaceWith(tex(element.getAttribute("data-math"), /block|display/.test(element.className)));
    }
    for (const element of clone.querySelectorAll(".katex-error")) element.replaceWith(tex(element.textContent, false));
  };

  // A code block's bar (language, copy button) is an element that holds a button but no code or prose, right beside
  // the code. The limits matter: a paragraph before a code block is beside it too.
  const isBar = (element) =>
    element && /^(DIV|HEADER|SPAN|FIGCAPTION|NAV)$/.test(element.tagName) &&
    element.querySelector(BUTTON) && !element.querySelector("pre,code,p,ul,ol,table");
  const isListing = (element) => element && (element.tagName === "PRE" || element.tagName === "CODE" ||
    (element.querySelector("pre,code") && !INLINE.has(element.tagName) && !element.querySelector("p,ul,ol,table")));
  const isBarOfCode = (element) => isBar(element) &&
    (isListing(element.nextElementSibling) || isListing(element.previousElementSibling));

  const barLanguage = (bar) => {
    const copy = bar.cloneNode(true);
    for (const element of copy.querySelectorAll(DROP)) element.remove();
    const word = copy.textContent.trim().toLowerCase();
    return /^[\w+#.-]{1,30}$/.test(word) ? word : "";
  };

  const knowsLanguage = (pre) => [pre, ...pre.querySelectorAll("code")].some((element) =>
    element.dataset.lang || element.dataset.language || /(^|\s)lang(uage)?-\S/.test(element.className));

  const bars = (clone, original) => {
    for (const bar of [...clone.querySelectorAll("div,header,span,figcaption,nav")].filter(isBarOfCode)) {
      const beside = [bar.nextElementSibling, bar.previousElementSibling].find(isListing);
      const pre = bar.closest("pre") || (beside.tagName === "PRE" ? beside : beside.querySelector("pre"));
      if (pre && !knowsLanguage(pre)) pre.dataset.lang = barLanguage(bar);
      bar.remove();
    }
    if (original.tagName === "PRE" && isBar(original.previousElementSibling) && !knowsLanguage(clone)) {
      clone.dataset.lang = barLanguage(original.previousElementSibling);
    }
  };

  const comments = (clone) => {
    const walker = document.createTreeWalker(clone, NodeFilter.SHOW_COMMENT);
    const found = [];
    while (walker.nextNode()) found.push(walker.currentNode);
    for (const comment of found) comment.remove();
  };

  const clean = (nodes) => {
    const holder = document.createElement("div");
    for (const node of nodes) {
      if (node.nodeType === Node.ELEMENT_NODE && (node.matches(DROP) || isBarOfCode(node))) continue;
      const clone = node.cloneNode(true);
      holder.append(clone);
      if (node.nodeType === Node.ELEMENT_NODE) bars(clone, node);
    }
    formulas(holder);
    for (const element of holder.querySelectorAll(DROP)) element.remove();
    for (const box of holder.querySelectorAll("input")) box.toggleAttribute("checked", box.checked);
    comments(holder);
    return holder.innerHTML;
  };

  // -- blocks -----------------------------------------------------------------------------------------------------

  const isInline = (node) => node.nodeType !== Node.ELEMENT_NODE ||
    (INLINE.has(node.tagName.toUpperCase()) && !node.querySelector("p,pre,ul,ol,table,blockquote,div"));

  const holdsBlock = (element) => {
    for (const node of element.childNodes) if (!isInline(node)) return true;
    return false;
  };

  const descend = (element) => {
    for (;;) {
      const only = element.childElementCount === 1 && element.firstElementChild;
      if (!only || !WRAPPER.has(only.tagName) || only.matches(DROP) || isListing(only) || !holdsBlock(only)) return element;
      for (const node of element.childNodes) {
        if (node.nodeType === Node.TEXT_NODE && node.data.trim()) return element;
      }
      element = only;
    }
  };

  let answer = null; // the root found last
  let container = null; // the element whose children are the blocks
  let blocks = []; // { nodes, raw, html }: raw is the page's own HTML, html what was reported
  let place = new WeakMap(); // child of the container -> index of its block (of the next one, for blanks between)
  let dirty = new Set(); // children of the container
  let rescan = 0; // blocks from this index on must be cut anew; Infinity: none
  let reported = 0;

  const raw = (nodes) => nodes.map((node) => node.outerHTML ?? node.data ?? "").join("");

  const recut = (from) => {
    const kept = blocks.slice(0, from);
    const old = blocks;
    const previous = from > 0 && kept[from - 1].nodes;
    let node = previous ? previous[previous.length - 1].nextSibling : container.firstChild;
    if (!from) place = new WeakMap();
    let run = null;
    const add = (child, index) => (place.set(child, index), dirty.add(child));
    for (; node; node = node.nextSibling) {
      place.set(node, kept.length);
      if (node.nodeType === Node.COMMENT_NODE) continue;
      if (isInline(node)) {
        if (!run) {
          if (node.nodeType === Node.TEXT_NODE && !node.data.trim()) continue;
          kept.push((run = { nodes: [] }));
        }
        run.nodes.push(node);
      } else {
        run = null;
        kept.push({ nodes: [node] });
      }
      add(node, kept.length - 1);
    }
    for (let index = from; index < kept.length && index < old.length; index++) {
      kept[index].raw = old[index].raw; // what was reported under this index stays the measure of change
      kept[index].html = old[index].html;
    }
    blocks = kept;
  };

  const attached = (nodes) => nodes.every((node) => node.parentNode === container);

  const locate = () => {
    if (!answer || !answer.isConnected || typeof root !== "object") answer = find() || answer;
    if (!answer) return false;
    const found = descend(answer);
    if (found !== container) {
      container = found;
      rescan = 0;
    }
    return true;
  };

  const report = () => {
    if (!locate()) return;
    if (rescan !== Infinity) {
      let from = Math.min(rescan, blocks.length);
      while (from > 0 && !attached(blocks[from - 1].nodes)) from--;
      recut(Math.max(0, from - 1)); // the block before may be a code bar, or a run of text that goes on
    }
    rescan = Infinity;
    const indexes = new Set();
    for (const child of dirty) if (place.has(child)) indexes.add(place.get(child));
    dirty = new Set();
    const changed = [];
    for (const index of [...indexes].filter((index) => index < blocks.length).sort((a, b) => a - b)) {
      const block = blocks[index];
      const now = raw(block.nodes);
      const bar = block.nodes.length === 1 && isBar(block.nodes[0]);
      if (now === block.raw && !bar) continue;
      block.raw = now;
      const html = clean(block.nodes);
      if (html !== block.html) changed.push([index, (block.html = html)]);
    }
    if (changed.length || blocks.length !== reported) {
      reported = blocks.length;
      emit(JSON.stringify({ n: blocks.length, changed }));
    }
  };

  // -- when to look -----------------------------------------------------------------------------------------------

  let timer = null;
  let last = -Infinity;
  let pause = interval;

  const run = () => {
    clearTimeout(timer);
    timer = null;
    const start = performance.now();
    report();
    last = performance.now();
    pause = Math.max(interval, 4 * (last - start));
  };

  const note = (record) => {
    if (!container || !container.isConnected) return true;
    let node = record.target;
    if (node === container) {
      let before = record.previousSibling;
      while (before && !place.has(before)) before = before.previousSibling; // nodes added since the last report
      rescan = Math.min(rescan, before ? place.get(before) : 0);
      return true;
    }
    while (node && node.parentNode !== container) node = node.parentNode;
    if (node) dirty.add(node);
    return node !== null || record.target.contains(container);
  };

  const seen = (records) => {
    let relevant = false;
    for (const record of records) relevant = note(record) || relevant;
    if (!relevant) return;
    const wait = last + pause - performance.now();
    if (wait <= 0) run();
    else timer ??= setTimeout(run, wait);
  };

  const observer = new MutationObserver(seen);
  const first = find();
  observer.observe(first ? first.getRootNode() : document, {
    subtree: true, childList: true, characterData: true, attributes: true,
    attributeFilter: ["class", "href", "src", "start", "hidden", "checked", "data-lang", "data-language", "data-math"],
  });
  run();

  const flush = () => {
    observer.takeRecords().forEach(note);
    run();
  };
  return {
    flush,
    stop() {
      flush();
      observer.disconnect();
      clearTimeout(timer);
    },
  };
})
