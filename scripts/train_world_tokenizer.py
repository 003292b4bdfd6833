#!/usr/bin/env python3
"""Trains the byte-level BPE of the demo model on the texts of a world.

usage: train_world_tokenizer.py WORLD OUT/tokenizer.json [--vocabulary 2048] [--lines 4000] [--sample GOLDEN.json]

WORLD is a folder that `lcomp world` wrote; take the largest world that the model will see, since its names are merged
into tokens. Each training file counts with its first `lines` lines. Words keep the blank before them; "\nA." to "\nD.",
"\nAnswer:" and the empty line are pieces of their own, so that a choice costs two tokens; digits are single. Token 0 is
the end token "<|end|>". --sample writes texts with their ids, to test other readers of the file against. The same texts
give the same tokenizer. Needs the Python package tokenizers (0.23).
"""
import argparse
import json
import pathlib

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

PIECES = r"\n[A-D]\.|\nAnswer:|\n\n| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s"
LETTERS = [" A", " B", " C", " D"]
SAMPLES = [
    "",
    " ",
    "The following are multiple choice questions (with answers) about places.\n\nWhere is Zubo?\nA. Kela\nB. salt"
    "\nC. 1234\nD. blue\nAnswer: B\n\n",
    "Question: What is the opposite of hot?\nAnswer: cold\n\nThe sum of two and three is five. <|end|>Next",
    "\nE. no choice\nAnswer\n\n\n\ttabs  and  blanks \r\n",
    "na\u00efve caf\u00e9, \u65e5\u672c\u8a9e, \u0416\u0443\u043a, \U0001f600 100 % (2.5 - 7)!",
]


def texts(world, lines):
    for path in sorted((world / "train").glob("*.jsonl")):
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file):
                if number == lines:
                    break
                record = json.loads(line)
                yield record["text"] if "text" in record else "".join(text for text, _ in record["parts"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--sample", type=pathlib.Path)
    arguments = parser.parse_args()

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PIECES), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=arguments.vocabulary,
        special_tokens=["<|end|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(arguments.world, arguments.lines), trainer)
    for letter in LETTERS:
        assert len(tokenizer.encode(letter).ids) == 1, letter
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(arguments.out))
    if arguments.sample:
        cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in SAMPLES]
        arguments.sample.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {tokenizer.get_vocab_size()} tokens")


if __name__ == "__main__":
    main()
