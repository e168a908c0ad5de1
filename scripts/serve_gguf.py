"""Serve a GGUF file by llama.cpp's own server, from its Python wheel (pip install xllamacpp).

    python scripts/serve_gguf.py model.gguf --port 8080

The same server as `llama-server -m model.gguf -np 1`, where that is not installed. Ends with
SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import signal

parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
parser.add_argument("model")
parser.add_argument("--port", type=int, default=8080)
parser.add_argument("--context", type=int, default=0, help="tokens; 0: the model's (default)")
parser.add_argument("--threads", type=int, default=0, help="0: as many as llama.cpp likes")


def main() -> None:
    """Start the server, print its address, and wait for a signal."""
    options = parser.parse_args()
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.port = options.port
    parameters.n_ctx = options.context
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.warmup = False
    parameters.endpoint_props = True
    if options.threads:
        parameters.cpuparams.n_threads = options.threads
    # Blocked before the server's threads begin, so that only this one gets them.
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = xllamacpp.Server(parameters)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait(ends)


if __name__ == "__main__":
    main()
