"""What functions are called as: the claim of a definition, and of every call, in lifted modules.

Functions are lifted one by one, so a definition and its calls in other functions may disagree.
`SurveyJob` reads both; `candidates` proposes prototypes that all could agree on. Jobs run in a
worker.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Sequence
from ctypes import c_void_p
from dataclasses import dataclass

from llm_compiler.disassembly.attributes import ABI_ATTRIBUTES, calls_of
from llm_compiler.disassembly.value_uses import is_returned
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.capi import take_message
from llm_compiler.llvm.job_steps import TextsJob
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status

__all__ = [
    "CallSite",
    "Prototype",
    "PrototypeReader",
    "Shape",
    "Survey",
    "SurveyJob",
    "candidates",
    "ways_into",
]

_POINTER_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototype:
    """A function's type and what its calling convention needs, as IR writes it.

    `parameters` and `result` are types (``i32``, ``ptr``, ``{ i64, i64 }``); the attributes are
    those that both sides of a call must share (``zeroext``, ``byval([8 x i8]) align 8``).
    """

    result: str = "void"
    parameters: tuple[str, ...] = ()
    result_attributes: str = ""
    parameter_attributes: tuple[str, ...] = ()
    is_variadic: bool = False
    convention: int = 0

    def declaration(self, quoted: str) -> str:
        """Return a line of IR that declares a function of this prototype.

        Args:
            quoted: its name as IR writes it after the ``@``.
        """
        parts = [
            f"{type_} {attributes}".strip()
            for type_, attributes in itertools.zip_longest(
                self.parameters, self.parameter_attributes[: len(self.parameters)], fillvalue=""
            )
        ]
        parts += ["..."] if self.is_variadic else []
        convention = f"cc{self.convention} " if self.convention else ""
        attributes = f"{self.result_attributes} " if self.result_attributes else ""
        return f"declare {convention}{attributes}{self.result} @{quoted}({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Shape:
    """How many registers of each kind a function reads that takes nothing else."""

    integers: int
    vectors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """What one function calls another as."""

    callee: str
    prototype: Prototype
    uses_result: bool
    num_arguments: int
    from_parameters: tuple[int, ...] = ()
    """Of each argument, which of the caller's own parameters it is, as it came; -1: none."""
    is_returned: bool = False
    """The caller does nothing with its result but return it, maybe as one of several values."""
    is_declared: bool = True
    """The module declares (or defines) the callee as it is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one text defines a function as, and what it calls others as."""

    status: Status
    own: Prototype | None = None
    returns_undefined: bool = False
    """Some return gives a value that is left open."""
    calls: tuple[CallSite, ...] = ()
    last_calls: tuple[tuple[str, str], ...] = ()
    """Of a function that returns nothing: the nearest call in front of each return, if every return
    has one: the callee's name and the type of its result."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyJob(TextsJob):
    """Read the prototypes in texts; each step's result is a `Survey`."""

    functions: tuple[str, ...]
    """Of each text, the one that it defines."""

    def run(self, state: WorkerState, first_step: int) -> Iterator[Survey]:
        """Yield what each text says."""
        for step in range(first_step, len(self.texts)):
            try:
                yield _survey(self.texts[step], self.functions[step])
            except LlmCompilerError as error:
                yield Survey(status=Status.REFUSED, detail=str(error)[:500])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Survey:
        """Return nothing."""
        return Survey(status=status, detail=detail)


def _survey(text: str, function: str) -> Survey:
    with Context() as context:
        module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
        reader = PrototypeReader(module)
        library = context.library
        handle = module.function_handle(function)
        calls: list[CallSite] = []
        count = library.LLVMCountParamTypes(library.LLVMGlobalGetValueType(handle))
        positions = {library.LLVMGetParam(handle, index): index for index in range(count)}
        for name, call in calls_of(module):
            number = library.LLVMGetNumArgOperands(call)
            use = library.LLVMGetFirstUse(call)
            prototype = reader.of_call(call)
            calls.append(
                CallSite(
                    callee=name,
                    prototype=prototype,
                    uses_result=bool(use),
                    num_arguments=number,
                    from_parameters=tuple(
                        positions.get(library.LLVMGetOperand(call, index), -1)
                        for index in range(number)
                    ),
                    is_returned=is_returned(module, call),
                    is_declared=prototype == reader.of_function(library.LLVMGetCalledValue(call)),
                )
            )
        returned = [
            library.LLVMGetOperand(index, 0)
            for index in module.instruction_handles(handle)
            if library.LLVMIsAReturnInst(index) and library.LLVMGetNumOperands(index)
        ]
        return Survey(
            status=Status.OK,
            own=reader.of_function(handle),
            returns_undefined=any(library.LLVMIsUndef(item) for item in returned),
            calls=tuple(dict.fromkeys(calls)),
            last_calls=_last_calls(module, handle, reader),
        )


def _last_calls(
    module: Module, function: int, reader: PrototypeReader
) -> tuple[tuple[str, str], ...]:
    library = module.context.library
    direct = {call: name for name, call in calls_of(module)}
    found = []
    returns = [
        handle
        for handle in module.instruction_handles(function)
        if library.LLVMIsAReturnInst(handle)
    ]
    for index in returns:
        call = _last_call(module, index)
        ways = [] if call else ways_into(module, library.LLVMGetInstructionParent(index))
        ends = [call] if call else [_last_call(module, end) for end in ways]
        for each in ends or [0]:
            if not each or each not in direct:
                return ()
            type_ = library.LLVMGetReturnType(library.LLVMGetCalledFunctionType(each))
            found.append((direct[each], reader.text_of(type_)))
    return tuple(dict.fromkeys(found))


def ways_into(module: Module, block: int) -> list[int]:
    """Return the ends of the blocks in front of a block."""
    library = module.context.library
    found = []
    item = library.LLVMGetFirstBasicBlock(library.LLVMGetBasicBlockParent(block))
    while item:
        end = library.LLVMGetBasicBlockTerminator(item)
        count = library.LLVMGetNumSuccessors(end)
        if block in [library.LLVMGetSuccessor(end, index) for index in range(count)]:
            found.append(end)
        item = library.LLVMGetNextBasicBlock(item)
    return found


def _last_call(module: Module, instruction: int) -> int:
    """Return the nearest call of a function in front of an instruction, in the same block."""
    library = module.context.library
    item = library.LLVMGetPreviousInstruction(instruction)
    while item:
        if library.LLVMIsACallInst(item):
            callee = library.LLVMGetCalledValue(item)
            if not (library.LLVMIsAFunction(callee) and library.LLVMGetIntrinsicID(callee)):
                return int(item)
        item = library.LLVMGetPreviousInstruction(item)
    return 0


class PrototypeReader:
    """Reads prototypes of one module's functions and calls."""

    def __init__(self, module: Module) -> None:
        self._module, self._library = module, module.context.library
        self._layout = self._library.LLVMGetModuleDataLayout(module.handle)
        kind = self._library.LLVMGetEnumAttributeKindForName
        self._kinds = {kind(name.encode(), len(name)): name for name in (*ABI_ATTRIBUTES, "align")}

    def of_function(self, function: int) -> Prototype:
        """Return what a function is declared or defined as."""
        library = self._library
        return self._prototype(
            library.LLVMGlobalGetValueType(function),
            lambda index: self._function_attributes(function, index),
            library.LLVMGetFunctionCallConv(function),
        )

    def of_call(self, call: int) -> Prototype:
        """Return what a call takes its callee for; attributes of the callee's count, too."""
        library = self._library
        type_ = library.LLVMGetCalledFunctionType(call)
        callee = library.LLVMGetCalledValue(call)
        is_same = (
            bool(library.LLVMIsAFunction(callee))
            and library.LLVMGlobalGetValueType(callee) == type_
        )

        def attributes(index: int) -> dict[str, int]:
            found = self._call_attributes(call, index)
            return {**(self._function_attributes(callee, index) if is_same else {}), **found}

        return self._prototype(type_, attributes, library.LLVMGetInstructionCallConv(call))

    def _prototype(self, type_: int, attributes: object, convention: int) -> Prototype:
        library = self._library
        assert callable(attributes)
        types = self.parameter_types(type_)
        return Prototype(
            result=self.text_of(library.LLVMGetReturnType(type_)),
            parameters=tuple(self.text_of(index) for index in types),
            result_attributes=self._text(attributes(0)),
            parameter_attributes=tuple(
                self._text(attributes(index)) for index in range(1, len(types) + 1)
            ),
            is_variadic=bool(library.LLVMIsFunctionVarArg(type_)),
            convention=convention,
        )

    def parameter_types(self, type_: int) -> list[int]:
        """Return the types of a function type's parameters."""
        count = self._library.LLVMCountParamTypes(type_)
        types = (c_void_p * max(1, count))()
        self._library.LLVMGetParamTypes(type_, ctypes.cast(types, ctypes.POINTER(c_void_p)))
        return [item for item in types[:count] if item]

    def text_of(self, type_: int) -> str:
        """Return a type as IR writes it, without names of structs."""
        library = self._library
        if library.LLVMGetTypeKind(type_) == 10:  # a struct, maybe a named one
            count = library.LLVMCountStructElementTypes(type_)
            inside = [
                self.text_of(library.LLVMStructGetTypeAtIndex(type_, i)) for i in range(count)
            ]
            return f"{{ {', '.join(inside)} }}" if inside else "{}"
        return take_message(library, library.LLVMPrintTypeToString(type_))

    def _function_attributes(self, function: int, index: int) -> dict[str, int]:
        library = self._library
        held = (c_void_p * max(1, library.LLVMGetAttributeCountAtIndex(function, index)))()
        library.LLVMGetAttributesAtIndex(
            function, index, ctypes.cast(held, ctypes.POINTER(c_void_p))
        )
        return self._named(list(held))

    def _call_attributes(self, call: int, index: int) -> dict[str, int]:
        library = self._library
        held = (c_void_p * max(1, library.LLVMGetCallSiteAttributeCount(call, index)))()
        library.LLVMGetCallSiteAttributes(call, index, ctypes.cast(held, ctypes.POINTER(c_void_p)))
        return self._named(list(held))

    def _named(self, held: Sequence[int | None]) -> dict[str, int]:
        library = self._library
        found = {}
        for index in held:
            if index and not library.LLVMIsStringAttribute(index):
                name = self._kinds.get(library.LLVMGetEnumAttributeKind(index))
                if name:
                    found[name] = index
        return found

    def _text(self, attributes: dict[str, int]) -> str:
        parts = []
        for name, attribute in attributes.items():
            if name in ("byval", "sret", "byref", "inalloca", "preallocated"):
                size = self._library.LLVMABISizeOfType(
                    self._layout, self._library.LLVMGetTypeAttributeValue(attribute)
                )
                parts.append(f"{name}([{size} x i8])")
            elif name not in ("align", "returned"):
                parts.append(name)
        if "align" in attributes and any(part.startswith("byval") for part in parts):
            value = self._library.LLVMGetEnumAttributeValue(attributes["align"])
            parts.append(f"align {value}")
        return " ".join(sorted(parts, key=lambda part: part.startswith("align")))


# -- what all could agree on -----------------------------------------------------------------------


def candidates(
    own: Prototype | None,
    calls: Sequence[CallSite],
    *,
    known: Shape | None = None,
    limit: int = 24,
) -> list[Prototype]:
    """Return prototypes for one function that its definition and its calls could share.

    They take what is known of it or the definition does, all that anybody passes, or what every
    call passes.

    Args:
        own: of the definition; None: it is defined in another file.
        known: what the function reads, as another file of the program shows.
    """
    claims = [call.prototype for call in calls]
    if own is None and not claims:
        # Whoever called it calls another one now.
        return []
    if own is not None and all(_agrees(own, call) for call in calls):
        return [own]
    everything = [own, *claims] if own is not None else claims
    results = _results(own, calls)
    is_variadic = any(prototype.is_variadic for prototype in everything)
    first = own or max(claims, key=lambda claim: (len(claim.parameters), claims.count(claim)))
    if is_variadic:
        # What a definition reads before its dots is sure; a call only shows what it passes.
        said = [own] if own is not None and own.is_variadic else everything
        fixed = min(len(prototype.parameters) for prototype in said if prototype.is_variadic)
        lists = [_lists(everything, first, fixed, limit)]
    else:
        counts = [len(prototype.parameters) for prototype in everything]
        lists = [
            _lists(everything, first, length, limit)
            for length in dict.fromkeys([len(first.parameters), max(counts), min(counts)])
        ]
        if known is not None and own is None:
            lists.insert(0, _known_lists(known, everything, limit))
    choices = list(dict.fromkeys(tuple(choice) for choice in _taken_in_turn(lists)))
    numbers = itertools.product(range(len(results)), range(len(choices)))
    found = []
    for number, index in sorted(numbers, key=sum):
        result, choice = results[number], choices[index]
        found.append(
            Prototype(
                result=result[0],
                result_attributes=result[1],
                parameters=tuple(pair[0] for pair in choice),
                parameter_attributes=tuple(pair[1] for pair in choice),
                is_variadic=is_variadic,
                convention=first.convention,
            )
        )
    return list(dict.fromkeys(found))[:limit]


_Parameters = Sequence[tuple[str, str]]
"""Types, and what a calling convention needs of them."""


def _lists(
    everything: Sequence[Prototype], first: Prototype, length: int, limit: int
) -> list[_Parameters]:
    """Return lists of parameters of one length, of what stands in their places."""
    positions: list[list[tuple[str, str]]] = []
    for index in range(length):
        seen = [
            (prototype.parameters[index], _at(prototype.parameter_attributes, index))
            for prototype in everything
            if index < len(prototype.parameters)
        ]
        positions.append(
            sorted(dict.fromkeys(seen), key=lambda pair: _preference(pair, first, index))
        )
    return list(itertools.islice(_choices(positions, limit), limit))


def _known_lists(known: Shape, everything: Sequence[Prototype], limit: int) -> list[_Parameters]:
    """Return lists of as many parameters of each kind of register as a function reads."""
    kinds: list[Prototype] = []
    for prototype in everything:
        own: dict[bool, list[str]] = {True: [], False: []}
        for type_ in prototype.parameters:
            own[_is_general(type_)].append(type_)
        integers = [*own[True], *["i64"] * known.integers][: known.integers]
        vectors = [*own[False], *["double"] * known.vectors][: known.vectors]
        kinds.append(Prototype(parameters=(*integers, *vectors)))
    first = max(kinds, key=kinds.count)
    return _lists(kinds, first, known.integers + known.vectors, limit)


def _is_general(type_: str) -> bool:
    """Whether values of a type are in integer registers."""
    return type_ == "ptr" or (type_[:1] == "i" and type_[1:].isdigit())


def _taken_in_turn(lists: Sequence[Sequence[_Parameters]]) -> Iterator[_Parameters]:
    """Yield the first of each, then the second, and so on."""
    for choices in itertools.zip_longest(*lists):
        yield from (choice for choice in choices if choice is not None)


def _agrees(own: Prototype, call: CallSite) -> bool:
    return own == call.prototype


def _results(own: Prototype | None, calls: Sequence[CallSite]) -> list[tuple[str, str]]:
    """Return types of the result, the best first: what somebody uses must be there."""
    used = [
        (call.prototype.result, call.prototype.result_attributes)
        for call in calls
        if call.uses_result
    ]
    unused = [
        (call.prototype.result, call.prototype.result_attributes)
        for call in calls
        if not call.uses_result
    ]
    mine = [(own.result, own.result_attributes)] if own is not None else []
    needed = [pair for pair in dict.fromkeys([*mine, *used]) if pair[0] != "void"]
    needed.sort(key=lambda pair: -_width(pair[0]))
    if used or (mine and mine[0][0] != "void"):
        # A definition that returns enough stays as it is.
        if (
            mine
            and mine[0] in needed
            and all(_width(mine[0][0]) >= _width(pair[0]) for pair in used)
        ):
            needed.remove(mine[0])
            needed.insert(0, mine[0])
        # An attribute promises how the result is extended: without it nothing is promised.
        bare = [(pair[0], "") for pair in needed if pair[1]]
        # Where the result is only passed on, there may be none.
        if all(call.is_returned for call in calls if call.uses_result):
            bare.append(("void", ""))
        return list(dict.fromkeys([*needed, *bare]))
    return list(dict.fromkeys([*mine, *unused]))


def _width(type_: str) -> int:
    if type_ == "ptr":
        return _POINTER_BITS + 1
    if type_ == "void":
        return 0
    return int(type_[1:]) if type_[:1] == "i" and type_[1:].isdigit() else 1000


def _preference(pair: tuple[str, str], first: Prototype, index: int) -> tuple[bool, int]:
    is_own = index < len(first.parameters) and pair == (
        first.parameters[index],
        _at(first.parameter_attributes, index),
    )
    return not is_own, -_width(pair[0])


def _choices(
    positions: list[list[tuple[str, str]]], limit: int
) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield choices, those first that differ from everybody's first choice in few positions."""
    base = tuple(position[0] for position in positions)
    yield base
    for index, options in enumerate(positions):
        for other in options[1:]:
            yield (*base[:index], other, *base[index + 1 :])
    yield from itertools.islice(itertools.product(*positions), limit * 4)


def _at(values: Sequence[str], index: int) -> str:
    return values[index] if index < len(values) else ""
