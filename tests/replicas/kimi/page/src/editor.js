// The prompt box: Lexical with its rich-text behaviour, so Enter breaks the line.
import { createEmptyHistoryState, registerHistory } from "@lexical/history";
import { registerRichText } from "@lexical/rich-text";
import { $createParagraphNode, $getRoot, createEditor } from "lexical";

export class Box {
  constructor(root, onChange) {
    this.editor = createEditor({ namespace: "chat", onError: (error) => console.error(error) });
    registerRichText(this.editor);
    registerHistory(this.editor, createEmptyHistoryState(), 300);
    this.editor.setRootElement(root);
    this.empty = true;
    this.editor.registerUpdateListener(({ editorState }) => {
      this.empty = editorState.read(() => $getRoot().getChildren().every((block) => block.getTextContentSize() === 0));
      onChange();
    });
    this.clear();
  }

  // A paragraph is a line: Lexical's own getTextContent would put a blank line between paragraphs.
  get text() {
    return this.editor.getEditorState().read(() =>
      $getRoot()
        .getChildren()
        .map((block) => block.getTextContent())
        .join("\n"),
    );
  }

  clear() {
    this.editor.update(() => $getRoot().clear().append($createParagraphNode()).selectEnd());
  }
}
