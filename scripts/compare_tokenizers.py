#!/usr/bin/env python3
"""Times encoding of one text by bench_tokenizer and by Hugging Face tokenizers, in turns, one thread each.

usage: compare_tokenizers.py TEXT NAME=TOKENIZER.json ... [--bench build/release/bin/bench_tokenizer] [--turns N]

NAME is that of a benchmark (encode/NAME), TEXT the text that it reads (wiki.test.raw of LCOMP_DATA). Prints the best of
all turns in MB/s of CPU time. Needs the Python package tokenizers; a developer's tool, no part of the project depends on it.
"""
import argparse
import os
import re
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402


def ours(bench, name):
    out = subprocess.run([bench, f"--benchmark_filter=^encode/{name}$", "--benchmark_min_time=0.2"], capture_output=True,
                         text=True, check=True).stdout
    value, unit = re.search(r"bytes_per_second=([\d.]+)([kMG]?)", out).groups()
    return float(value) * {"": 1, "k": 2**10, "M": 2**20, "G": 2**30}[unit] / 1e6


def theirs(tokenizer, text):
    begin = time.process_time()
    tokenizer.encode(text, add_special_tokens=False)
    return len(text.encode()) / (time.process_time() - begin) / 1e6


arguments = argparse.ArgumentParser()
arguments.add_argument("text")
arguments.add_argument("tokenizer", nargs="+")
arguments.add_argument("--bench", default="build/release/bin/bench_tokenizer")
arguments.add_argument("--turns", type=int, default=3)
options = arguments.parse_args()
with open(options.text, encoding="utf-8", newline="") as file:
    content = file.read()
print(f"{'tokenizer':12} {'ours MB/s':>10} {'theirs MB/s':>12}")
for item in options.tokenizer:
    name, path = item.split("=", 1)
    reference = Tokenizer.from_file(path)
    best_ours = best_theirs = 0.0
    for _ in range(options.turns):
        best_ours = max(best_ours, ours(options.bench, name))
        best_theirs = max(best_theirs, theirs(reference, content))
    print(f"{name:12} {best_ours:10.1f} {best_theirs:12.1f}")
