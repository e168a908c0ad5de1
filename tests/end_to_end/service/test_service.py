"""The service as its clients see it."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

SOURCE = """
int printf(const char *, ...);
int sum(const int *a, int n) { int s = 0; for (int i = 0; i < n; i++) s += a[i]; return s; }
int f(int a, int b) { int v[3] = {a, b, 7}; printf("%d\\n", sum(v, 3)); return sum(v, 3); }
"""
ASSEMBLY = """	.text
	.globl f
	.type f,@function
f:
	leal (%rdi,%rsi), %eax
	retq
	.size f, .-f
"""
Service = Any


def test_optimize_answers_with_a_smaller_object_that_is_what_it_says(
    service: Service, tmp_path: Path
) -> None:
    status, found = service.wait_for("optimize", source=SOURCE, explain=True)
    assert (status, found["status"], found["verdict"]) == (200, "done", "passed")
    assert found["optimized_bytes"] < found["baseline_bytes"]
    assert found["replay_makes_same_object"] is True
    assert "f:" in found["assembly"]["optimized"]
    assert "define" in found["ir"]["optimized"]
    assert found["explain"]["elements"]
    assert sum(found["optimized_sections"].values()) == found["optimized_bytes"]
    assert min(item["size_bytes"] for item in found["candidates"]) >= found["optimized_bytes"]
    path = tmp_path / "output.o"
    path.write_bytes(base64.b64decode(found["object_base64"]))
    (tmp_path / "main.c").write_text("int f(int, int); int main(void) { return f(3, 2); }")
    program = tmp_path / "program"
    clang = find_clang()
    subprocess.run([clang, tmp_path / "main.c", path, "-o", program], check=True)
    assert subprocess.run([program], check=False).returncode == 12


def find_clang() -> Path:
    from llm_compiler.llvm.toolchain import find_toolchain

    return find_toolchain().tool("clang")


def test_a_job_is_followed_from_its_first_event_to_its_result(service: Service) -> None:
    status, job = service.ask("/v1/optimize", {"source": SOURCE + "int g(int x){return x/7;}"})
    assert status == 202
    events = list(service.events(job["id"]))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "waiting"
    assert kinds[-1] == "end"
    assert kinds.index("running") < kinds.index("baseline") < kinds.index("candidate")
    assert events[-1]["result"]["candidates"] == [
        {name: value for name, value in event.items() if name != "event"}
        for event in events
        if event["event"] == "candidate"
    ]
    # Whoever comes later, or comes back, hears the same.
    assert list(service.events(job["id"])) == events
    status, again = service.ask(f"/v1/jobs/{job['id']}")
    assert (status, again["result"]) == (200, events[-1]["result"])


def test_the_same_content_is_computed_once(service: Service) -> None:
    source = SOURCE + "int h(int x){return x%5;}"
    first = service.wait_for("optimize", source=source, flags="-DX  -DY")[1]
    second = service.wait_for("optimize", source=source, flags=["-DX", "-DY"])[1]
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["object_base64"] == second["object_base64"]
    assert first["id"] != second["id"]


def test_lifting_answers_with_verdicts(service: Service) -> None:
    status, found = service.wait_for("disassemble", source=ASSEMBLY)
    assert status == 200
    (function,) = found["functions"]
    assert (function["name"], function["verdict"]) == ("f", "exact")
    assert "define" in function["ir"]
    assert "define" in found["module"]


def test_an_object_is_lifted(service: Service, tmp_path: Path) -> None:
    source = tmp_path / "f.s"
    source.write_text(ASSEMBLY)
    subprocess.run([find_clang(), "-c", source, "-o", tmp_path / "f.o"], check=True)
    data = base64.b64encode((tmp_path / "f.o").read_bytes()).decode()
    status, found = service.wait_for("disassemble", language="object", source=data)
    assert (status, found["functions"][0]["verdict"]) == (200, "exact")


def test_emulation_is_checked_by_the_compiler(service: Service) -> None:
    ir = "define i32 @f(i32 %x) minsize optsize {\n  %a = add i32 %x, 0\n  ret i32 %a\n}\n"
    status, found = service.wait_for("emulate", language="llvm-ir", source=ir, passes="instcombine")
    assert status == 200
    assert "ret i32 %0" in found["check"]["code"]
    verdicts = (
        "exact",
        "same_code",
        "tests_passed",
        "differs",
        "no_answer",
    )
    assert found["check"]["verdict"] in verdicts


def test_recipes_of_ones_own_are_measured_by_the_stock_tools(service: Service) -> None:
    recipes = ["default<Oz>", "mem2reg +frame-pointer=non-leaf"]
    status, found = service.wait_for("evaluate", source=SOURCE, recipes=recipes)
    assert status == 200
    assert [row["ok"] for row in found["rows"]] == [True, True]
    assert found["rows"][0]["size_bytes"] == found["baseline_bytes"]


NOT_ALLOWED = {
    "flag -I": "-I/etc",
    "flag -include": "-include /etc/passwd",
    "response file": "@/etc/passwd",
    "plugin": "-fplugin=/tmp/x.so",
    "pass plugin": "-fpass-plugin=/tmp/x.so",
    "load": "-Xclang -load -Xclang /tmp/x.so",
    "load by LLVM": "-mllvm -load=/tmp/x.so",
    "sysroot": "--sysroot=/etc",
    "module map flag": "-fmodules -fmodule-map-file=/etc/passwd",
    "embed folder": "-std=c23 --embed-dir=/etc",
    "config": "--config=/etc/passwd",
    "output": "-o /etc/passwd",
    "assembler": "-Wa,-I/etc",
}
"""Refused before anything runs."""

Case = tuple[str, dict[str, Any], str]
HOSTILE: dict[str, Case] = {
    **{
        name: ("optimize", {"source": SOURCE, "flags": flags}, "is not allowed here")
        for name, flags in NOT_ALLOWED.items()
    },
    "unsafe pass": (
        "evaluate",
        {"source": SOURCE, "recipes": ["structurizecfg"]},
        "'structurizecfg' is not allowed",
    ),
    "pass of a file": (
        "evaluate",
        {"source": SOURCE, "recipes": ["pgo-instr-use</etc/passwd>"]},
        "",
    ),
    "triple": (
        "optimize",
        {"source": SOURCE, "target_triple": "-fplugin=x"},
        "not a target triple",
    ),
    "empty": ("optimize", {"source": "  "}, "the source is empty"),
    "no source": ("optimize", {}, "the field 'source' is missing"),
    "unknown field": ("optimize", {"source": SOURCE, "shell": "id"}, "there is no field 'shell'"),
    "unknown effort": ("optimize", {"source": SOURCE, "effort": "all"}, "effort: "),
    # What follows is compiled in a sandbox.
    "include": ("optimize", {"source": '#include "/etc/passwd"\n'}, "file not found"),
    "include of a process": (
        "optimize",
        {"source": '#include "/proc/self/environ"\n'},
        "file not found",
    ),
    "include by a macro, and whether it is there": (
        "optimize",
        {
            "source": '#if __has_include("/etc/passwd")\n#error it is there\n#endif\n'
            "#include WHERE\n",
            "flags": "'-DWHERE=\"/etc/passwd\"'",
        },
        "'/etc/passwd' file not found",
    ),
    "embed": (
        "optimize",
        {"source": 'const char x[] = {\n#embed "/etc/passwd"\n};', "flags": "-std=c23"},
        "file not found",
    ),
    "incbin in C": (
        "optimize",
        {"source": '__asm__(".incbin \\"/etc/passwd\\"");'},
        "Could not find incbin file",
    ),
    "incbin in IR": (
        "optimize",
        {"language": "llvm-ir", "source": 'module asm ".incbin \\22/etc/passwd\\22"\n'},
        "incbin",
    ),
    "incbin in assembly": ("disassemble", {"source": '.incbin "/etc/passwd"\n'}, "incbin"),
    "module map": ("optimize", {"source": "#pragma clang module import passwd\nint x;"}, "module"),
    "not an object": ("disassemble", {"language": "object", "source": "f0VMRgIBAQA="}, ""),
    "endless templates": (
        "optimize",
        {"language": "c++", "source": "template<int N> struct A { A<N + 1> a; }; A<0> a;"},
        "",
    ),
    "deep nesting": (
        "optimize",
        {"source": "int x = " + "(" * 50000 + "1" + ")" * 50000 + ";"},
        "",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_input_is_refused_in_one_sentence(service: Service, case: str) -> None:
    verb, request, words = HOSTILE[case]
    status, found = service.wait_for(verb, **request)
    assert status == 422, found
    assert words in found["error"]["message"]
    assert "\n" not in found["error"]["message"]
    assert "root:" not in json.dumps(found)


def test_links_and_files_of_the_host_are_read_by_no_directive(service: Service) -> None:
    # Even where clang goes on after a warning, nothing of a file comes back.
    source = '__asm__(".pushsection .x; .incbin \\"/proc/self/root/etc/passwd\\"; .popsection");'
    status, found = service.wait_for("optimize", source=source)
    assert status == 422
    assert "root:" not in json.dumps(found)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/v1/optimize", b"{", {}, 422),
        ("/v1/optimize", b"[]", {}, 422),
        ("/v1/optimize", b"\xff\xfe", {}, 422),
        ("/v1/optimize", b'{"source": "int x;"}', {"Content-Type": "text/plain"}, 415),
        ("/v1/optimize", b"x" * 2_000_000, {}, 413),
        ("/v1/optimize", json.dumps({"source": "x" * 300_000}).encode(), {}, 413),
        ("/v1/optimize", b'{"source": "int x;\\ud800"}', {}, 422),
        ("/", None, {"Host": "evil.example"}, 421),
        ("/v1/jobs/nobody", None, {}, 404),
        ("/v1/jobs/..%2f..%2fetc%2fpasswd", None, {}, 404),
        ("/assets/../index.html", None, {}, 404),
        ("/assets/..%2f..%2f..%2f..%2fetc%2fpasswd", None, {}, 404),
        ("/nothing", None, {}, 404),
        ("/v1/optimize", None, {}, 405),
    ],
)
def test_requests_that_are_none_have_their_status_and_a_sentence(
    service: Service, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    found_status, found = service.ask(path, body, headers=headers)
    assert found_status == status, found
    assert found["error"]["message"]
    assert "root:" not in json.dumps(found)


def test_a_body_without_a_length_is_counted_too(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 20) as line:
        head = "POST /v1/optimize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            for _ in range(200):
                line.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass  # it has hung up already
        line.settimeout(20)
        answer = line.recv(4096)
    assert b" 413 " in answer.splitlines()[0]


def test_a_job_is_cancelled_and_leaves_no_process(service: Service) -> None:
    status, job = service.ask("/v1/optimize", {"source": SOURCE + slow_source(7)})
    assert status == 202
    for event in service.events(job["id"]):
        if event["event"] == "running":
            break
    assert service.ask(f"/v1/jobs/{job['id']}", method="DELETE")[0] == 202
    *_, last = service.events(job["id"])
    assert (last["status"], last["error"]["code"]) == ("cancelled", "cancelled")
    assert service.ask(f"/v1/jobs/{job['id']}")[1]["status"] == "cancelled"


def slow_source(number: int) -> str:
    """Code that takes clang some seconds at least."""
    functions = "\n".join(
        f"int g{number}_{index}(int *p, int n) {{ int s = {index}; "
        "for (int i = 0; i < n; i++) "
        f"for (int j = i; j < n; j += {index} + 1) s += p[i] * p[j] "
        f"% (i + {index + 2}); return s; }}"
        for index in range(60)
    )
    return functions + "\n"


def test_a_client_that_hangs_up_ends_its_job(service: Service) -> None:
    body = {"source": slow_source(9), "effort": "high"}
    with pytest.raises((TimeoutError, OSError)):
        service.ask("/v1/optimize?wait=1", body, timeout_s=2)
    for _ in range(600):
        if service.ask("/healthz")[1]["jobs_running"] == 0:
            return
        time.sleep(0.1)
    raise AssertionError("its job goes on")


def test_what_a_service_says_of_itself(service: Service) -> None:
    service.wait_for("optimize", source=SOURCE, effort="fast")
    status, about = service.ask("/v1/about")
    assert (status, about["sandboxed"], about["needs_key"]) == (200, True, False)
    status, document = service.ask("/openapi.json")
    assert status == 200
    verbs = {"optimize", "explain", "disassemble", "emulate", "evaluate"}
    assert {f"/v1/{verb}" for verb in verbs} < set(document["paths"])
    metrics = service.ask("/metrics")[1]["text"]
    assert 'llm_compiler_jobs_total{state="done",verb="optimize"}' in metrics
    assert "llm_compiler_job_seconds_bucket" in metrics


def test_the_log_is_json_lines_without_code(service: Service) -> None:
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    ended = [line for line in lines if line["event"] == "job ended"]
    assert ended
    assert {"id", "verb", "client", "state", "seconds"} <= set(ended[0])
    assert "printf" not in service.log.read_text()


def test_the_page_is_served_with_its_policy(service: Service) -> None:
    import urllib.request

    with urllib.request.urlopen(service.url + "/", timeout=20) as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "<title>LLM Compiler</title>" in text


def test_many_clients_at_once_get_what_is_theirs(service: Service) -> None:
    """A small version of benchmarks/service_load.py."""

    def ask(number: int) -> tuple[int, int, dict[str, Any]]:
        if number % 5 == 4:
            return (number, *service.wait_for("optimize", source='#include "/etc/passwd"\n'))
        source = f"int f{number % 3}(int x) {{ return x * {number % 3 + 2}; }}"
        return (number, *service.wait_for("optimize", source=source, effort="fast"))

    with ThreadPoolExecutor(5) as threads:
        for number, status, found in threads.map(ask, range(10)):
            assert status == (422 if number % 5 == 4 else 200), found
            if status == 200:
                assert f"f{number % 3}:" in found["assembly"]["optimized"]


def test_a_killed_service_loses_no_finished_result_and_leaves_nothing(
    service_type: type[Service], tmp_path: Path
) -> None:
    service = service_type(tmp_path)
    try:
        status, finished = service.wait_for("optimize", source=SOURCE, effort="fast")
        assert status == 200
        _, under_way = service.ask("/v1/optimize", {"source": slow_source(3), "effort": "high"})
        for event in service.events(under_way["id"]):
            if event["event"] in ("baseline", "running"):
                break
        children = service.children()
        assert children
        service.stop(signal.SIGKILL)
        # One that was just being started ends when it has loaded and finds nobody to ask.
        for _ in range(600):
            if not any(Path(f"/proc/{pid}").exists() for pid in children):
                break
            time.sleep(0.1)
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        service.start()
        status, again = service.ask(f"/v1/jobs/{finished['id']}")
        assert (status, again["status"]) == (200, "done")
        assert again["result"]["object_base64"] == finished["object_base64"]
        assert service.wait_for("optimize", source=SOURCE, effort="fast")[1]["cached"] is True
        status, lost = service.ask(f"/v1/jobs/{under_way['id']}")
        assert (status, lost["status"]) == (200, "lost")
        assert "send it again" in lost["error"]["message"]
        assert list(service.events(finished["id"]))[-1]["result"]
    finally:
        service.stop()
        shutil.rmtree(tmp_path / "data", ignore_errors=True)


def test_clients_with_keys_see_only_their_own_jobs(
    service_type: type[Service], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first-client-0123456789\nsecond-client-0123456789\n")
    service = service_type(tmp_path, "--api-keys", str(keys), "--rate", "4")
    try:
        assert service.ask("/v1/optimize", {"source": SOURCE})[0] == 401
        assert service.ask("/metrics")[0] == 401
        assert service.ask("/v1/about")[1]["needs_key"] is True
        service.key = "first-client-0123456789"
        status, job = service.ask("/v1/optimize", {"source": SOURCE, "effort": "fast"})
        assert status == 202
        assert list(service.events(job["id"]))[-1]["status"] == "done"
        service.key = "second-client-0123456789"
        assert service.ask(f"/v1/jobs/{job['id']}")[0] == 404
        assert service.ask(f"/v1/jobs/{job['id']}", method="DELETE")[0] == 404
        statuses = [service.ask("/v1/optimize", {"source": " "})[0] for _ in range(4)]
        assert statuses == [422, 422, 429, 429]
        assert "0123456789" not in service.log.read_text()
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "name a file of keys with --api-keys"),
        (["--host", "0.0.0.0", "--no-sandbox", "--api-keys", "KEYS"], 2, "without a sandbox"),
        (["--api-keys", "missing"], 2, "cannot be read"),
        (["--port", "65536"], 2, "a port is a number"),
        (["--max-seconds", "0"], 2, "--max-seconds"),
    ],
)
def test_what_does_not_start_says_why(
    service_type: type[Service], tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "KEYS").write_text("a-key-of-enough-characters\n")
    done = start_briefly(arguments, tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def start_briefly(
    arguments: list[str], folder: Path, **more: Any
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "llm_compiler", "serve", *arguments],
        capture_output=True,
        cwd=folder,
        timeout=60,
        check=False,
        **more,
    )


def test_without_bubblewrap_it_does_not_start(service_type: type[Service], tmp_path: Path) -> None:
    import os

    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "prlimit").symlink_to(str(shutil.which("prlimit")))
    environment = {**os.environ, "PATH": str(tools)}
    done = start_briefly([], tmp_path, env=environment)
    assert done.returncode == 3
    assert b"the sandbox needs bubblewrap" in done.stderr
    assert b"apt-get install bubblewrap" in done.stderr


def test_a_port_that_is_taken_is_an_error(service_type: type[Service], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = start_briefly(["--port", port, "--data", str(tmp_path / "d")], tmp_path)
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}".encode() in done.stderr
