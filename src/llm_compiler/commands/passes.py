"""``llm-compiler passes``: the pass registry, as the LLVM found has it."""

from __future__ import annotations

from llm_compiler.commands.options.passes import PassesArguments
from llm_compiler.console import print_json, print_table
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.llvm.refusals import refused_for
from llm_compiler.llvm.registry import PassEntry, all_entries
from llm_compiler.llvm.settings import Setting, SettingKind, all_settings
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.workers import LocalPool, run_jobs

__all__ = ["run"]


def _verdict(entry: PassEntry) -> str:
    if not entry.safe:
        return f"no: {entry.reason}"
    kinds = refused_for(entry.text)
    return f"safe, but for modules with {'; '.join(kinds)}" if kinds else "safe"


def run(options: PassesArguments) -> int:
    """Print one line a pass: name, level, safe or why not."""
    toolchain = find_toolchain()
    with LocalPool(1) as pool:
        available = set(run_jobs(pool, [RegistryJob()])[0][0])
    settings = [each_setting for each_setting in all_settings() if each_setting.safe or options.all]
    rows = [
        entry
        for entry in all_entries()
        if (entry.safe and entry.element in available) or (not entry.safe and options.all)
    ]
    if options.json:
        for row in rows:
            print_json(
                {
                    "pass": row.text,
                    "level": row.level.value,
                    "safe": row.safe,
                    "reason": row.reason,
                    "refused_for": list(refused_for(row.text)),
                    "element": row.element,
                }
            )
        for setting in settings:
            print_json(
                {
                    "setting": setting.name,
                    "kind": setting.kind.value,
                    "values": list(setting.values),
                    "architectures": list(setting.architectures),
                    "objectives": list(setting.objectives),
                    "effect": setting.effect,
                    "stock": [setting.stock(value) for value in setting.values],
                    "safe": setting.safe,
                    "contract": setting.contract,
                    "reason": setting.reason,
                }
            )
        return 0
    print_table(
        ("pass", "level", "safe"),
        [(row.text, row.level.value, _verdict(row)) for row in rows],
    )
    print()
    print_table(
        ("attribute or option", "values", "targets", "safe", "effect"),
        [
            (
                f"{'+' if each_setting.kind is SettingKind.ATTRIBUTE else '--'}{each_setting.name}",
                " ".join(each_setting.values),
                " ".join(each_setting.architectures) or "all",
                _word(each_setting),
                each_setting.effect,
            )
            for each_setting in settings
        ],
    )
    safe = sum(row.safe for row in rows)
    excluded = sum(not entry.safe for entry in all_entries())
    print(f"\n{safe} safe passes in LLVM {toolchain.version}; {excluded} excluded", end="")
    print("" if options.all else " ('llm-compiler passes --all' says why)")
    return 0


def _word(setting: Setting) -> str:
    if setting.reason:
        return f"no: {setting.reason}"
    return f"with --allow {setting.name}" if setting.contract else "safe"
