"""The files of examples/cluster: as far as they can be checked without a cluster."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="needs PyYAML")

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "cluster"

# Of KubeRay's RayCluster v1 (ray-project.github.io/kuberay/reference/api): the fields that these
# files may use, and their types.
GROUP = {"rayStartParams": dict, "template": dict, "serviceType": str}
WORKERS = GROUP | {"groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int}
SPEC = {
    "rayVersion": str,
    "enableInTreeAutoscaling": bool,
    "headGroupSpec": dict,
    "workerGroupSpecs": list,
}


def load(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def fits(value: dict[str, Any], fields: dict[str, type]) -> None:
    assert set(value) <= set(fields)
    assert all(isinstance(value[name], fields[name]) for name in value)


def test_the_kuberay_file_has_the_form_of_a_ray_cluster() -> None:
    cluster = load("kuberay.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    fits(spec, SPEC)
    fits(spec["headGroupSpec"], GROUP)
    for group in spec["workerGroupSpecs"]:
        fits(group, WORKERS)
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        # Ray is started with these as text.
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        mounted = {m["name"] for c in pod["containers"] for m in c.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.get("volumes", ())}
        for container in pod["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert {"name": "RAY_worker_niceness", "value": "0"} in container["env"]


def test_the_head_runs_no_jobs_and_workers_have_their_pods_processors() -> None:
    spec = load("kuberay.yaml")["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in spec["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert group["rayStartParams"]["num-cpus"] == container["resources"]["limits"]["cpu"]
    up = load("ray-up.yaml")
    assert up["available_node_types"][up["head_node_type"]]["resources"] == {"CPU": 0}


def test_all_files_name_one_ray_and_one_image_within_the_extras_range() -> None:
    versions = set(re.findall(r"rayproject/ray:([\d.]+)-py", (FOLDER / "Dockerfile").read_text()))
    versions.add(load("kuberay.yaml")["spec"]["rayVersion"])
    assert len(versions) == 1
    (version,) = versions
    assert (2, 40) <= tuple(map(int, version.split(".")[:2])) < (3, 0)
    assert 'ray = ["ray>=2.40,<3"]' in (ROOT / "pyproject.toml").read_text()
    pods = load("kuberay.yaml")["spec"]
    groups = (pods["headGroupSpec"], *pods["workerGroupSpecs"])
    images = {c["image"] for group in groups for c in group["template"]["spec"]["containers"]}
    assert images == {load("ray-up.yaml")["docker"]["image"]}


def test_ray_up_accepts_its_file() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'llm-compiler[ray]'")
    jsonschema = pytest.importorskip("jsonschema")
    spec = find_spec("ray.autoscaler")
    assert spec is not None
    assert spec.origin
    schema = json.loads((Path(spec.origin).parent / "ray-schema.json").read_text())
    jsonschema.validate(load("ray-up.yaml"), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(load("ray-up.yaml") | {"max_workers": "many"}, schema)


def test_ray_up_reads_its_file_up_to_where_it_asks_a_cloud() -> None:
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: pip install 'llm-compiler[ray]'")
    # In a process of its own: Ray's import warns of what does not concern us.
    text = (
        "import json, sys, yaml\n"
        "from ray.autoscaler._private.util import prepare_config, validate_config\n"
        "read = prepare_config(yaml.safe_load(open(sys.argv[1])))\n"
        "validate_config(read)\n"
        "print(json.dumps(read['available_node_types']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text, str(FOLDER / "ray-up.yaml")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    types = json.loads(done.stdout.splitlines()[-1])
    assert types["labels"]["min_workers"] == types["labels"]["max_workers"] == 8
    assert types["head"]["max_workers"] == 0


def test_the_script_for_ray_data_uses_names_that_ray_has() -> None:
    tree = ast.parse((FOLDER / "lift_by_ray_data.py").read_text())
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "ray.data.llm"
        for alias in node.names
    }
    assert names == {"HttpRequestProcessorConfig", "build_processor"}
    spec = None
    if find_spec("ray") is not None:
        spec = find_spec("ray")
    if spec is None or not spec.origin:
        pytest.skip("needs the extra ray")
    # Read, not imported: that takes the whole of Ray Data.
    there = ast.parse((Path(spec.origin).parent / "data" / "llm.py").read_text())
    defined = {node.name for node in there.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert names <= defined


def test_the_script_for_ray_train_uses_names_that_ray_has() -> None:
    tree = ast.parse((FOLDER / "train_by_ray_train.py").read_text())
    imported = {
        node.module: {alias.name for alias in node.names}
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ray")
    }
    assert imported == {
        "ray.train": {"RunConfig", "ScalingConfig"},
        "ray.train.torch": {"TorchTrainer"},
    }
    spec = find_spec("ray")
    if spec is None or not spec.origin:
        pytest.skip("Ray is not installed: pip install 'llm-compiler[ray]'")
    for module, names in imported.items():
        folder = Path(spec.origin).parent.joinpath(*(module or "").split(".")[1:])
        there = ast.parse((folder / "__init__.py").read_text())
        exported = {
            alias.asname or alias.name
            for node in ast.walk(there)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        assert names <= exported
