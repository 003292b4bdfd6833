#!/usr/bin/env python3
"""Records what a build of lcomp makes of the demo's model: a net under changes that must not change results.

usage: tests/net/record_jobs.py LCOMP OUT.json [--against OTHER.json] [--only TEXT]

Runs a fixed set of jobs (every method x allocator, with recalibration, tuning, learning, folded scales and integer
activations; quantization-aware and blockwise training; jobs killed and resumed; an experiment) and writes, for each,
SHA-256 of model.safetensors and of the plan in config.json, and the numbers of its report. With --against, says what
differs from an earlier record and exits with 1. The bytes depend on the processor and on the number of threads (2
here): records of one machine can be compared, others can't.
"""
import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODEL = os.path.join(ROOT, "demo", "model")
THREADS = ["--threads", "2", "--quiet"]
ENVIRONMENT = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # threads that wait spin otherwise, beside other programs
VOLATILE = {"seconds", "stage_seconds", "stage_cpu_seconds", "cpu_seconds", "out", "elapsed_seconds", "cell"}  # a cell's name holds the version


def sha(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def steady(value):
    """A JSON value without what differs between two runs of one build."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return value


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


class Net:
    def __init__(self, lcomp, out, work, only):
        self.lcomp, self.out, self.work, self.only = lcomp, out, work, only
        self.record = {}
        self.seconds = {}

    def wanted(self, name):
        return self.only is None or self.only in name

    def run(self, arguments):
        return subprocess.run([self.lcomp] + arguments, cwd=self.work, capture_output=True, text=True, env=ENVIRONMENT)

    def make(self, arguments):
        result = self.run(arguments)
        if result.returncode != 0:
            sys.exit(f"net: {' '.join(arguments)}\n{result.stderr}")
        return result.stdout

    def store(self, name, entry, start):
        self.record[name] = entry
        self.seconds[name] = round(time.time() - start, 2)
        print(f"{self.seconds[name]:7.2f} s  {name}", flush=True)
        with open(self.out, "w") as file:
            json.dump(self.record, file, indent=1, sort_keys=True)
            file.write("\n")

    def model_entry(self, folder):
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        quantization = steady(config.get("quantization_config", {}))
        return {"model": sha(os.path.join(folder, "model.safetensors")), "config": digest(quantization)}

    def compress(self, name, arguments):
        if not self.wanted(name):
            return
        start = time.time()
        out = os.path.join(self.work, "out")
        shutil.rmtree(out, ignore_errors=True)
        result = self.run(["compress", MODEL, "--out", "out", "--json"] + THREADS + arguments)
        if result.returncode != 0:
            self.store(name, {"error": result.stderr.replace(self.work, "")}, start)
            return
        report = steady(json.loads(result.stdout))
        entry = self.model_entry(out)
        entry.update({"bytes": report["bytes"], "ratio": report["ratio"], "report": digest(report)})
        self.store(name, entry, start)

    def killed(self, name, arguments, seconds):
        """Killed after so many seconds each, then finished: the same bytes as uninterrupted."""
        if not self.wanted(name):
            return
        start = time.time()
        out = os.path.join(self.work, "out")
        shutil.rmtree(out, ignore_errors=True)
        command = [self.lcomp, "compress", MODEL, "--out", "out", "--json"] + THREADS + arguments
        kills = 0
        for wait in seconds:
            child = subprocess.Popen(command, cwd=self.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env=ENVIRONMENT)
            try:
                child.wait(wait)
                break
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.wait()
                kills += 1
        if not os.path.exists(out):
            self.make(["compress", MODEL, "--out", "out", "--json"] + THREADS + arguments)
        left = os.path.exists(out + ".unfinished")
        self.store(name, {**self.model_entry(out), "unfinished_left": left}, start)
        print(f"           ({kills} kills)")

    def train(self, name, config):
        if not self.wanted(name):
            return
        start = time.time()
        path = os.path.join(self.work, "training.json")
        shutil.rmtree(os.path.join(self.work, "trained"), ignore_errors=True)
        with open(path, "w") as file:
            json.dump({**config, "out": "trained"}, file)
        self.make(["train", "training.json"] + THREADS)
        folder = os.path.join(self.work, "trained")
        if os.path.exists(os.path.join(folder, "model")):
            folder = os.path.join(folder, "model")
        self.store(name, {"model": sha(os.path.join(folder, "model.safetensors"))}, start)

    def experiment(self, name, config):
        if not self.wanted(name):
            return
        start = time.time()
        with open(os.path.join(self.work, "experiment.json"), "w") as file:
            json.dump({**config, "output": "run"}, file)
        shutil.rmtree(os.path.join(self.work, "run"), ignore_errors=True)
        self.make(["run", "experiment.json"] + THREADS)
        with open(os.path.join(self.work, "run", "metrics.json")) as file:
            rows = steady(json.load(file)["rows"])
        self.store(name, {"rows": digest(rows), "cells": len(rows)}, start)


def jobs(net):
    texts = ["--texts", "world/calibration.jsonl", "--sequences", "64", "--tokens", "128", "--short-texts", "keep",
             "--no-bos"]
    statistics = ["--statistics", "statistics"]
    net.make(["world", "--config", os.path.join(ROOT, "demo", "world.json"), "--out", "world"] + THREADS)
    net.make(["calibrate", MODEL, "--out", "statistics", "--sensitivity", "divergence"] + texts + THREADS)
    net.make(["calibrate", MODEL, "--out", "unguided"] + texts + THREADS)

    # Every method at given bits, without and with statistics.
    plain = ["f16", "rtn:bits=4", "rtn:bits=3,group=32,sym", "rtn:bits=3,grid=mse,scales=u8", "rtn:bits=4,group=channel",
             "rtn:bits=4,group=tensor", "rtn:bits=3,grid=hqq,zeros=f16", "rtn:bits=16", "log:bits=4", "log:bits=3,base=fit,zero",
             "nf:bits=4", "nf:bits=3,grid=mse", "codebook:bits=3", "codebook:bits=2,fit=lloyd", "rotate+rtn:bits=4",
             "rotate:outputs+nf:bits=3"]
    for method in plain:
        net.compress(f"{method}", ["--method", method])
    with_statistics = ["gptq:bits=4", "gptq:bits=3,act_order,grid=mse", "gptq:bits=2,group=32,static_groups,act_order",
                       "log:bits=3,feedback,act_order", "nf:bits=3,grid=mse,feedback", "codebook:bits=2,feedback,act_order",
                       "lnq:bits=2", "lnq:bits=3,act_order=false", "scale+rtn:bits=3", "scale:fold+gptq:bits=3", "scale:fold+rtn:bits=3",
                       "scale+rotate+gptq:bits=3", "rotate+gptq:bits=3,act_order", "rate:bits=3", "rate:precision=6",
                       "rate:bits=2,trellis=0", "rate:bits=2.5,plain", "banded:bits=3", "banded:bits=2.5,symmetric,equal_widths"]
    for method in with_statistics:
        net.compress(f"{method}, statistics", ["--method", method] + statistics)
    # Every method x allocator at a target.
    widths = ["rtn", "rtn:sym,grid=mse", "nf", "codebook", "gptq:act_order", "rotate+gptq"]
    for method in widths:
        for allocator in ("fixed", "across"):
            for ratio in ("5",):
                net.compress(f"{method}, {allocator}, ratio {ratio}",
                             ["--method", method, "--allocator", allocator, "--ratio", ratio] + statistics)
    for method in ("rate", "banded", "rate:trellis=0"):
        for allocator in ("fixed", "across", "within", "second_order"):
            for ratio in ("3", "7"):
                net.compress(f"{method}, {allocator}, ratio {ratio}",
                             ["--method", method, "--allocator", allocator, "--ratio", ratio] + statistics)
    net.compress("rtn without statistics, ratio 5", ["--method", "rtn", "--ratio", "5"])
    net.compress("rtn, bytes", ["--method", "rtn", "--bytes", "1000000"])
    net.compress("rate, bits per weight, unguided statistics",
                 ["--method", "rate", "--bits-per-weight", "3", "--allocator", "fixed", "--statistics", "unguided"])
    net.compress("rate bounds", ["--method", "rate:min_bits=1,max_bits=6", "--ratio", "5"] + statistics)
    net.compress("components", ["--method", "rtn:bits=3", "--component", '*.down_proj={"bits": 5}', "--component",
                                "model.embed_tokens=f16"])
    net.compress("components, ratio", ["--method", "rate", "--component", "*.o_proj=rtn:bits=4", "--ratio", "5"] + statistics)
    # Integer activations.
    for name, activations in (("token", "token"), ("tensor", "tensor"),
                              ("head", '{"bits": 8, "granularity": "token", "head": true}')):
        net.compress(f"activations {name}", ["--method", "gptq:bits=4,sym", "--activations", activations] + statistics)
    net.compress("activations token, ratio", ["--method", "rtn:sym", "--activations", "token", "--ratio", "4"] + statistics)
    # Calibration on what is compressed already.
    for order in ("block", "stage"):
        net.compress(f"gptq by {order}", ["--method", "gptq:bits=3,act_order", "--order", order] + texts)
        net.compress(f"gptq by {order}, ratio 5", ["--method", "gptq", "--ratio", "5", "--order", order] + texts)
    # Learned, recalibrated, tuned.
    learning = ["--learning-sequences", "16", "--held-out", "16", "--rounds", "3"]
    for method in ("rate", "banded"):
        for ratio in ("5", "7"):
            net.compress(f"{method}, learned, ratio {ratio}",
                         ["--method", method, "--allocator", "learned", "--ratio", ratio] + statistics + texts + learning)
    net.compress("recalibrated", ["--method", "rate", "--ratio", "7", "--recalibrations", "1"] + statistics + texts)
    net.compress("recalibrated twice, gptq", ["--method", "gptq:bits=3", "--recalibrations", "2"] + statistics + texts)
    net.compress("recalibrated and learned",
                 ["--method", "learned", "--ratio", "7", "--recalibrations", "1"] + statistics + texts + learning)
    net.compress("repaired", ["--method", "rate", "--ratio", "7", "--repair-steps", "8"] + statistics + texts + learning)
    net.compress("repaired, gptq", ["--method", "gptq:bits=3", "--repair-steps", "8"] + statistics + texts + learning)
    net.compress("learned and repaired",
                 ["--method", "learned", "--ratio", "7", "--repair-steps", "8"] + statistics + texts + learning)
    net.compress("recalibrated, learned and repaired",
                 ["--method", "learned", "--ratio", "7", "--recalibrations", "1", "--repair-steps", "8"] + statistics + texts + learning)
    net.compress("statistics of another", ["--method", "rate", "--ratio", "7", "--statistics-of", MODEL] + statistics)
    # Killed and resumed.
    net.killed("killed: gptq by block", ["--method", "gptq:bits=3,act_order", "--order", "block"] + texts, [0.5, 0.9, 1.3])
    net.killed("killed: gptq, across", ["--method", "gptq", "--allocator", "across", "--ratio", "5"] + statistics, [0.7, 1.5, 2.5])
    net.killed("killed: learned and repaired",
               ["--method", "learned", "--ratio", "7", "--repair-steps", "8"] + statistics + texts + learning,
               [1.5, 3, 4, 5, 6])
    # Training.
    data = [{"file": "world/calibration.jsonl", "share": 1}]
    training = {"model": MODEL, "end_token": "<|end|>", "data": data, "texts": "separate", "window": 128, "batch": 8,
                "accumulation": 1, "steps": 4, "learning_rate": 0.0005, "warmup": 1, "schedule": "cosine",
                "betas": [0.9, 0.98], "clip": 1.0, "seed": 0, "checkpoint_every": 2, "evaluate_every": 2,
                "held_out": {"file": "world/calibration.jsonl", "windows": 4}, "dtype": "float16"}
    net.train("training", training)
    for name, qat in (("rtn, fitted", {"quantizer": "rtn:bits=3,group=64", "steps": "fitted"}),
                      ("rtn, learned", {"quantizer": "rtn:bits=3,group=64,sym", "steps": "learned"}),
                      ("rtn, absolute maximum, activations",
                       {"quantizer": "rtn:bits=4,group=64,sym", "steps": "absolute_maximum", "activations": {"bits": 8}}),
                      ("codebook", {"quantizer": "codebook:bits=3,group=channel", "steps": "fitted"})):
        net.train(f"qat: {name}", {**training, "qat": qat})
    net.train("qat: teacher", {**training, "qat": {"quantizer": "rtn:bits=3,group=64", "steps": "fitted"},
                               "teacher": {"model": MODEL, "top_tokens": 16, "cache": "teacher.cache"}})
    blockwise = {"model": MODEL, "data": data, "texts": "joined", "window": 128, "batch": 4, "steps": 6, "seed": 0,
                 "blockwise": {"windows": 16}, "dtype": "float16", "end_token": "<|end|>",
                 "qat": {"quantizer": "rtn:bits=3,group=64,sym", "steps": "learned"}}
    net.train("blockwise", blockwise)
    # An experiment with a bit of everything.
    with open(os.path.join(ROOT, "experiments", "configs", "demo.json")) as file:
        demo = json.load(file)
    demo["model"] = MODEL
    demo["calibration"].update({"texts": ["world/calibration.jsonl"], "sequences": 64})
    demo["learning"] = {"sequences": 16, "held_out": 16, "rounds": 2}
    demo["sizes"] = [{"ratio": 6}]
    for method in demo["methods"]:
        if method.pop("tune", None):
            method["repair"] = {"steps": 8}  # by its older name, which all versions know
    demo["tasks"] = [{"task": "mmlu", "name": "facts", "data": "world/eval/trained", "bos": False, "limit": 60},
                     {"task": "kl", "name": "text", "protocol": "file", "file": "world/eval/text.txt", "window": 128,
                      "bos": False, "sequences": 16}]
    net.experiment("experiment", demo)
    # The slowest.
    for method in ("log", "lnq"):
        for allocator in ("fixed", "across"):
            net.compress(f"{method}, {allocator}, ratio 5",
                         ["--method", method, "--allocator", allocator, "--ratio", "5"] + statistics)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lcomp")
    parser.add_argument("out")
    parser.add_argument("--against")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        net = Net(os.path.abspath(arguments.lcomp), os.path.abspath(arguments.out), work, arguments.only)
        jobs(net)
    print(f"{len(net.record)} jobs, {sum(net.seconds.values()):.0f} s")
    if not arguments.against:
        return
    with open(arguments.against) as file:
        before = json.load(file)
    differ = 0
    for name, entry in net.record.items():
        if name not in before:
            print(f"new: {name}")
            continue
        changed = [key for key in sorted(set(entry) | set(before[name])) if entry.get(key) != before[name].get(key)]
        if changed:
            differ += 1
            print(f"differs: {name}: {', '.join(changed)}")
    missing = [name for name in before if name not in net.record and net.wanted(name)]
    print(f"{len(net.record) - differ} equal, {differ} differ, {len(missing)} missing")
    sys.exit(1 if differ or missing else 0)


if __name__ == "__main__":
    main()
