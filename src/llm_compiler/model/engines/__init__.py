"""Inference: one `Engine` protocol; embedded (onnxruntime), transformers, openai."""
