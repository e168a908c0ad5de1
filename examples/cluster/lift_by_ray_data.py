"""Ask a vLLM server, or several after one address, for many answers: Ray Data's HTTP processor.

Reads Parquet with a column ``prompt`` and writes Parquet with a column ``answer`` beside it, local
or at ``s3://``. The server is vLLM's own (``vllm serve MODEL --port 8000``), or any that speaks
OpenAI's protocol, ``llm-compiler serve --model`` among them. Where the GPUs are in the cluster
itself, `vLLMEngineProcessorConfig` of the same module takes the place of the server.

    pip install 'ray[data]>=2.50' aiohttp pydantic
    python lift_by_ray_data.py prompts.parquet answers --url http://HOST:8000/v1/completions \\
        --model NAME
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import ray
from ray.data.llm import HttpRequestProcessorConfig, build_processor


def main() -> int:
    """Write the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompts")
    parser.add_argument("answers")
    parser.add_argument("--url", default="http://127.0.0.1:8000/v1/completions")
    parser.add_argument("--model", required=True)
    parser.add_argument("--max-tokens", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=64, help="requests under way a worker")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()

    def request(row: dict[str, Any]) -> dict[str, Any]:
        payload = {
            "model": options.model,
            "prompt": row["prompt"],
            "max_tokens": options.max_tokens,
            "temperature": 0,
        }
        return {**row, "payload": payload}

    def answer(row: dict[str, Any]) -> dict[str, Any]:
        kept = {name: row[name] for name in row if name not in ("payload", "http_response")}
        return {**kept, "answer": row["http_response"]["choices"][0]["text"]}

    processor = build_processor(
        HttpRequestProcessorConfig(
            url=options.url,
            headers={"Content-Type": "application/json"},
            batch_size=options.batch_size,
            concurrency=options.workers,
        ),
        preprocess=request,
        postprocess=answer,
    )
    processor(ray.data.read_parquet(options.prompts)).write_parquet(options.answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
