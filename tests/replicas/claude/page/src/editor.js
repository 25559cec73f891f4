// The prompt box: ProseMirror with paragraphs of plain text, one for each line.
import { baseKeymap, splitBlock } from "prosemirror-commands";
import { history, redo, undo } from "prosemirror-history";
import { keymap } from "prosemirror-keymap";
import { Fragment, Schema, Slice } from "prosemirror-model";
import { EditorState } from "prosemirror-state";
import { EditorView } from "prosemirror-view";

const schema = new Schema({
  nodes: {
    doc: { content: "paragraph+" },
    paragraph: { content: "text*", whitespace: "pre", parseDOM: [{ tag: "p" }], toDOM: () => ["p", 0] },
    text: {},
  },
});

const paragraph = (line) => schema.node("paragraph", null, line ? [schema.text(line)] : []);

export class Box {
  // `onPaste` is given a pasted text and says whether it took it away from the box.
  constructor(place, attributes, { onChange, onSend, onPaste }) {
    const keys = {
      Enter: () => (onSend(), true),
      "Shift-Enter": splitBlock,
      "Mod-z": undo,
      "Mod-Shift-z": redo,
    };
    this.plugins = [keymap(keys), keymap(baseKeymap), history()];
    this.view = new EditorView(place, {
      state: this.fresh(),
      attributes,
      clipboardTextParser: (text) => new Slice(Fragment.from(text.split(/\r\n?|\n/).map(paragraph)), 1, 1),
      handlePaste: (view, event) => onPaste(event.clipboardData.getData("text/plain")),
      dispatchTransaction: (transaction) => {
        this.view.updateState(this.view.state.apply(transaction));
        onChange();
      },
    });
  }

  fresh() {
    return EditorState.create({ schema, plugins: this.plugins });
  }

  get text() {
    return this.view.state.doc.content.content.map((line) => line.textContent).join("\n");
  }

  clear() {
    this.view.updateState(this.fresh());
  }
}
