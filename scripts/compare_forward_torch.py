#!/usr/bin/env python3
"""Developer tool: times our forward pass of a Llama model against the same computation in PyTorch (eager, float32).

Usage: compare_forward_torch.py MODEL_FOLDER BENCH_MODELS [--threads 2] [--tokens 512] [--rounds 7]

MODEL_FOLDER holds config.json and model.safetensors (SmolLM2-135M); BENCH_MODELS is the program build/.../bin/bench_models.
Both sides have their weights in memory as float32 and compute the logits of every position of one sequence. They take turns, since a
machine's speed drifts; the medians and the ratio of medians (above 1: we are faster) are printed. With --threads 1 the
processor time is compared instead, which other work on the machine disturbs less. Needs torch and safetensors, which the project
itself does not.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file


class Llama:
    """The forward pass of a Llama model, one sequence, no cache."""

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text())
        self.weights = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
        c = self.config
        self.heads, self.kv_heads = c["num_attention_heads"], c["num_key_value_heads"]
        self.head_dim = c.get("head_dim") or c["hidden_size"] // self.heads
        frequencies = 1.0 / c["rope_theta"] ** (torch.arange(0, self.head_dim, 2).float() / self.head_dim)
        angles = torch.outer(torch.arange(8192).float(), frequencies)
        angles = torch.cat([angles, angles], dim=-1)
        self.cos, self.sin = angles.cos(), angles.sin()

    def norm(self, x, name):
        return F.rms_norm(x, (x.shape[-1],), self.weights[name], self.config["rms_norm_eps"])

    def linear(self, x, name):
        return F.linear(x, self.weights[name + ".weight"])

    def rotate(self, x):
        n, half = x.shape[-2], self.head_dim // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
        return x * self.cos[:n] + turned * self.sin[:n]

    @torch.inference_mode()
    def __call__(self, ids):
        x = F.embedding(ids, self.weights["model.embed_tokens.weight"])  # [tokens, hidden]
        n = len(ids)
        for i in range(self.config["num_hidden_layers"]):
            p = f"model.layers.{i}."
            h = self.norm(x, p + "input_layernorm.weight")
            q = self.linear(h, p + "self_attn.q_proj").view(n, self.heads, self.head_dim).transpose(0, 1)
            k = self.linear(h, p + "self_attn.k_proj").view(n, self.kv_heads, self.head_dim).transpose(0, 1)
            v = self.linear(h, p + "self_attn.v_proj").view(n, self.kv_heads, self.head_dim).transpose(0, 1)
            q, k = self.rotate(q), self.rotate(k)
            a = F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True, enable_gqa=True)[0]
            x = x + self.linear(a.transpose(0, 1).reshape(n, -1), p + "self_attn.o_proj")
            h = self.norm(x, p + "post_attention_layernorm.weight")
            h = F.silu(self.linear(h, p + "mlp.gate_proj")) * self.linear(h, p + "mlp.up_proj")
            x = x + self.linear(h, p + "mlp.down_proj")
        x = self.norm(x, "model.norm.weight")
        head = "model.embed_tokens.weight" if self.config.get("tie_word_embeddings") else "lm_head.weight"
        return F.linear(x, self.weights[head])


def ours_milliseconds(arguments, threads):
    environment = dict(os.environ, LCOMP_SMOLLM2=str(arguments.model), OMP_NUM_THREADS=str(threads))
    name = f"forward/sequences:1/length:{arguments.tokens}/resident:1/real_time"
    output = subprocess.run([arguments.bench, f"--benchmark_filter=^{name}$", "--benchmark_format=json", "--benchmark_repetitions=5",
                             "--benchmark_min_time=0.01"], env=environment, check=True, capture_output=True, text=True)
    clock = "cpu_time" if threads == 1 else "real_time"
    return [b[clock] for b in json.loads(output.stdout)["benchmarks"] if b["run_type"] == "iteration"]


def torch_milliseconds(model, ids, threads):
    clock = time.thread_time if threads == 1 else time.perf_counter
    times = []
    model(ids[:64])
    for _ in range(5):
        begin = clock()
        model(ids)
        times.append((clock() - begin) * 1e3)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=512, choices=[512, 2048])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = Llama(arguments.model)
    ids = torch.randint(0, model.config["vocab_size"], (arguments.tokens,), generator=torch.Generator().manual_seed(7))
    torch_times, our_times = [], []
    for _ in range(arguments.rounds):
        torch_times += torch_milliseconds(model, ids, arguments.threads)
        our_times += ours_milliseconds(arguments, arguments.threads)
    for name, times in (("torch", torch_times), ("ours", our_times)):
        median = statistics.median(times)
        print(f"{name:6} median {median:7.1f} ms, least {min(times):7.1f} ms, {arguments.tokens / median * 1e3:6.0f} tokens/s")
    print(f"torch / ours: {statistics.median(torch_times) / statistics.median(our_times):.2f} (medians), "
          f"{min(torch_times) / min(our_times):.2f} (least), torch {torch.__version__}, {arguments.threads} threads")


if __name__ == "__main__":
    main()
