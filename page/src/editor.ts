/** The editor, and pairs of read-only texts with their differences marked. */

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { Compartment, EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { grammar } from "./languages";

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.controlKeyword, tags.operatorKeyword], color: "var(--code-keyword)" },
  { tag: [tags.modifier, tags.definitionKeyword, tags.meta, tags.processingInstruction], color: "var(--code-modifier)" },
  { tag: tags.typeName, color: "var(--code-type)" },
  { tag: [tags.string, tags.character], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: tags.labelName, color: "var(--code-label)", fontWeight: "600" },
  { tag: tags.function(tags.variableName), color: "var(--code-label)" },
]);

const theme = EditorView.theme({
  "&": { fontSize: "13px", backgroundColor: "var(--paper)", color: "var(--ink)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5" },
  ".cm-gutters": { backgroundColor: "var(--paper)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection) !important" },
  ".cm-changedLine": { backgroundColor: "var(--changed) !important" },
  ".cm-changedText": { background: "var(--changed-text) !important" },
  ".cm-deletedChunk": { backgroundColor: "var(--gone) !important" },
  "&.cm-merge-a .cm-changedLine, .cm-deletedLine": { backgroundColor: "var(--gone) !important" },
  "&.cm-merge-a .cm-changedText, .cm-deletedChunk .cm-deletedText": { background: "var(--gone-text) !important" },
  ".cm-collapsedLines": { background: "var(--hover)", color: "var(--faint)", padding: "2px 8px" },
  ".cm-collapsedLines:before, .cm-collapsedLines:after": { content: '"···"', margin: "0 8px" },
});

const setErrorLine = StateEffect.define<number>();
const errorLine = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    if (transaction.docChanged) return Decoration.none;
    for (const effect of transaction.effects) {
      if (!effect.is(setErrorLine)) continue;
      const { doc } = transaction.state;
      if (effect.value < 1 || effect.value > doc.lines) return Decoration.none;
      return Decoration.set([Decoration.line({ class: "error-line" }).range(doc.line(effect.value).from)]);
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function reading(language: string, label: string): Extension {
  return [
    lineNumbers(),
    syntaxHighlighting(colours),
    grammar(language),
    theme,
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
  ];
}

export class Editor {
  private readonly language = new Compartment();
  private readonly view: EditorView;

  constructor(parent: HTMLElement, onRun: () => void, onChange: () => void) {
    this.view = new EditorView({
      parent,
      extensions: [
        keymap.of([{ key: "Mod-Enter", run: () => (onRun(), true) }, ...defaultKeymap, ...historyKeymap]),
        history(),
        lineNumbers(),
        drawSelection(),
        bracketMatching(),
        indentOnInput(),
        highlightActiveLine(),
        syntaxHighlighting(colours),
        this.language.of(grammar("c")),
        errorLine,
        theme,
        EditorView.contentAttributes.of({ "aria-label": "Source code", "aria-multiline": "true", tabindex: "0" }),
        EditorView.updateListener.of((update) => update.docChanged && onChange()),
      ],
    });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  set text(text: string) {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text } });
  }

  setLanguage(language: string): void {
    this.view.dispatch({ effects: this.language.reconfigure(grammar(language)) });
  }

  /** Marks the line that a compiler complains about, and shows it; 0: none. */
  markLine(line: number): void {
    this.view.dispatch({ effects: setErrorLine.of(line) });
    if (line >= 1 && line <= this.view.state.doc.lines) {
      const { from } = this.view.state.doc.line(line);
      this.view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    }
  }
}

const isNarrow = (): boolean => window.matchMedia("(max-width: 900px)").matches;

export interface Pair {
  language: string;
  before: string;
  after: string;
  beforeLabel: string;
  afterLabel: string;
}

/** Shows two texts: side by side, or one below the other's changes where there is no room. */
export function showPair(parent: HTMLElement, pair: Pair): () => void {
  // Short texts are shown whole: what is the same is of interest there.
  const isLong = Math.max(pair.before.split("\n").length, pair.after.split("\n").length) > 40;
  const collapse = isLong ? { margin: 4, minSize: 8 } : undefined;
  if (isNarrow()) {
    const view = new EditorView({
      parent,
      doc: pair.after,
      extensions: [
        reading(pair.language, `${pair.afterLabel}, with changes`),
        unifiedMergeView({ original: pair.before, mergeControls: false, collapseUnchanged: collapse, gutter: true }),
      ],
    });
    return () => view.destroy();
  }
  const view = new MergeView({
    parent,
    a: { doc: pair.before, extensions: reading(pair.language, pair.beforeLabel) },
    b: { doc: pair.after, extensions: reading(pair.language, pair.afterLabel) },
    collapseUnchanged: collapse,
    gutter: true,
  });
  return () => view.destroy();
}

export function showText(parent: HTMLElement, language: string, text: string, label: string): () => void {
  const view = new EditorView({ parent, doc: text, extensions: reading(language, label) });
  return () => view.destroy();
}
