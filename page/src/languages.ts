/** Colours for LLVM-IR and assembly, which CodeMirror has no grammars for. */

import { StreamLanguage, type StreamParser } from "@codemirror/language";
import { cpp } from "@codemirror/lang-cpp";
import type { Extension } from "@codemirror/state";

const IR_WORDS = new Set(
  ("define declare global constant private internal external linkonce_odr linkonce weak weak_odr hidden local_unnamed_addr " +
    "unnamed_addr dso_local attributes target datalayout triple source_filename type align section comdat any to nsw nuw exact " +
    "inbounds volatile tail musttail notail fastcc ccc zeroinitializer null undef poison true false none noundef nonnull " +
    "signext zeroext nocapture readonly readnone writeonly returned noalias sret byval captures metadata").split(" "),
);
const IR_TYPES = /^(void|ptr|label|half|float|double|x86_fp80|fp128|i\d+)$/;

const ir: StreamParser<unknown> = {
  name: "llvm-ir",
  startState: () => ({}),
  token(stream) {
    if (stream.eatSpace()) return null;
    if (stream.match(/^;.*/)) return "comment";
    if (stream.match(/^c?"(?:[^"\\]|\\.)*"/)) return "string";
    if (stream.match(/^[%@][-\w.$]+|^[%@]"[^"]*"/)) return "variableName";
    if (stream.match(/^[!#][-\w.]+/)) return "meta";
    if (stream.match(/^[-\w.$]+:/)) return "labelName";
    if (stream.match(/^-?(0x[\da-fA-FKLMHR]+|\d+(\.\d+)?(e[+-]?\d+)?)/)) return "number";
    const word = stream.match(/^[a-zA-Z_][\w.]*/);
    if (word) {
      const text = (word as RegExpMatchArray)[0];
      if (IR_TYPES.test(text)) return "typeName";
      return IR_WORDS.has(text) ? "modifier" : "keyword";
    }
    stream.next();
    return null;
  },
};

const assembly: StreamParser<{ begun: boolean }> = {
  name: "assembly",
  startState: () => ({ begun: false }),
  token(stream, state) {
    if (stream.sol()) state.begun = false;
    if (stream.eatSpace()) return null;
    if (stream.match(/^(#|\/\/|;).*/)) return "comment";
    if (stream.match(/^"(?:[^"\\]|\\.)*"/)) return "string";
    if (stream.match(/^[.\w$@]+:/)) return "labelName";
    if (stream.match(/^%[a-z]\w*/)) return "variableName";
    if (stream.match(/^\$?-?(0x[\da-fA-F]+|\d+)\b/) || stream.match(/^#-?\d+/)) return "number";
    if (stream.match(/^\.[A-Za-z_][\w.]*/)) {
      state.begun = true;
      return "meta";
    }
    if (stream.match(/^[A-Za-z_.$][\w.$@]*/)) {
      const isName = state.begun;
      state.begun = true;
      return isName ? "variableName" : "keyword";
    }
    stream.next();
    return null;
  },
};

const IR = StreamLanguage.define(ir);
const ASSEMBLY = StreamLanguage.define(assembly);

export function grammar(language: string): Extension {
  if (language === "llvm-ir") return IR;
  if (language === "assembly") return ASSEMBLY;
  return cpp();
}
