// The prompt box: ProseMirror with paragraphs only. Enter sends, Shift-Enter breaks the line.
import { baseKeymap, splitBlock } from "prosemirror-commands";
import { history } from "prosemirror-history";
import { keymap } from "prosemirror-keymap";
import { Fragment, Schema, Slice } from "prosemirror-model";
import { EditorState } from "prosemirror-state";
import { EditorView } from "prosemirror-view";

const schema = new Schema({
  nodes: {
    doc: { content: "paragraph+" },
    paragraph: { content: "text*", toDOM: () => ["p", 0], parseDOM: [{ tag: "p" }] },
    text: {},
  },
});

// A line is a paragraph: ProseMirror's own parser would drop blank lines.
function paragraphs(text) {
  const lines = text.split(/\r\n?|\n/);
  return lines.map((line) => schema.node("paragraph", null, line ? [schema.text(line)] : []));
}

export class Box {
  constructor(mark, { onChange, onEnter }) {
    const enter = () => (onEnter(), true);
    this.node = document.createElement("div");
    this.view = new EditorView(
      { mount: this.node },
      {
        state: EditorState.create({
          schema,
          plugins: [history(), keymap({ Enter: enter, "Shift-Enter": splitBlock }), keymap(baseKeymap)],
        }),
        attributes: mark,
        clipboardTextParser: (text) => new Slice(Fragment.from(paragraphs(text)), 1, 1),
        dispatchTransaction: (change) => {
          this.view.updateState(this.view.state.apply(change));
          if (change.docChanged) onChange();
        },
      },
    );
  }

  get text() {
    const lines = [];
    this.view.state.doc.forEach((paragraph) => lines.push(paragraph.textContent));
    return lines.join("\n");
  }

  set text(text) {
    const { state } = this.view;
    this.view.dispatch(state.tr.replaceWith(0, state.doc.content.size, paragraphs(text)));
  }
}
