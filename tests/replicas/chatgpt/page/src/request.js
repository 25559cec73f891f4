// What the chat calls say of a prompt and of the window.
const loaded = performance.now();

export function userMessage(text, files) {
  const pictures = files.filter(({ width }) => width);
  const parts = pictures.map(({ id, width, height, size }) => ({
    content_type: "image_asset_pointer",
    asset_pointer: `file-service://${id}`,
    width,
    height,
    size_bytes: size,
  }));
  return {
    id: crypto.randomUUID(),
    author: { role: "user" },
    create_time: Date.now() / 1000,
    content: { content_type: parts.length ? "multimodal_text" : "text", parts: [...parts, text] },
    metadata: {
      submission_mode: "manual_send",
      serialization_metadata: { custom_symbol_offsets: [] },
      ...(files.length && { attachments: files }),
    },
  };
}

// A message of this page, or one that was read back and says more.
export const asked = ({ id, create_time, content, metadata }) => ({
  id,
  author: { role: "user" },
  create_time,
  content,
  metadata,
});

// What is in the box while the user still types: its id is not the final message's.
export const draft = (text) => ({
  id: crypto.randomUUID(),
  author: { role: "user" },
  content: { content_type: "text", parts: [text.slice(0, 1000)] },
});

export const windowFacts = () => ({
  is_dark_mode: matchMedia("(prefers-color-scheme: dark)").matches,
  time_since_loaded: Math.round((performance.now() - loaded) / 1000),
  page_height: innerHeight,
  page_width: innerWidth,
  pixel_ratio: devicePixelRatio,
  screen_height: screen.height,
  screen_width: screen.width,
  app_name: "chatgpt.com",
});
