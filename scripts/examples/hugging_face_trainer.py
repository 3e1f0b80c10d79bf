"""A Hugging Face Trainer as a trial: layers, heads and widths of a small BERT, trained by transformers.

python scripts/examples/hugging_face_trainer.py --epochs 5 --trials 20
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jsonargparse import CLI
from ray import tune
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import raynas
from raynas import Architecture, SearchSpace, TensorSpec
from raynas.core.decision import Categorical, Decision, Integer
from raynas.core.inputs import InputSpec
from raynas.trials import Function

N_TOKENS, LENGTH = 50, 16


class SmallBerts(SearchSpace):
    """Classifiers of texts of 16 tokens."""

    input_shape = ()

    @property
    def inputs(self) -> InputSpec:
        return {"input_ids": TensorSpec((LENGTH,), torch.long, high=N_TOKENS)}

    @property
    def decisions(self) -> Sequence[Decision]:
        sizes = Categorical("hidden_size", choices=(32, 64)), Categorical("num_attention_heads", choices=(2, 4))
        return (Integer("num_hidden_layers", low=1, high=3), *sizes)

    def build(self, arch: Architecture) -> nn.Module:
        sizes: dict[str, Any] = dict(arch)
        return BertForSequenceClassification(BertConfig(vocab_size=N_TOKENS, intermediate_size=64, **sizes))


def texts(n: int, seed: int) -> list[dict[str, Any]]:
    """Make texts; the label tells if the first token comes again. Put a tokenized data set of yours here."""
    ids = torch.randint(N_TOKENS, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row, "labels": int((row[1:] == row[0]).any())} for row in ids]


def accuracy(given: Any) -> dict[str, float]:
    return {"accuracy": float((given.predictions.argmax(-1) == given.label_ids).mean())}


def train(model: nn.Module, config: dict[str, Any], *, epochs: int, n_texts: int) -> Iterator[Mapping[str, float]]:
    trainer = Trainer(
        model,
        TrainingArguments(
            "trainer",
            num_train_epochs=1,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=texts(n_texts, 0),
        eval_dataset=texts(n_texts // 4, 1),
        compute_metrics=accuracy,
    )
    for _ in range(epochs):
        trainer.train()
        scores = trainer.evaluate()
        yield {"accuracy": scores["eval_accuracy"], "loss": scores["eval_loss"]}


def main(epochs: int = 5, trials: int = 20, n_texts: int = 8000, results: str = "results/examples") -> None:
    found = raynas.search(
        SmallBerts(),
        Function(fn=partial(train, epochs=epochs, n_texts=n_texts), epochs=epochs),
        constraints="params <= 0.9 * baseline",
        baseline={"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 2},
        num_samples=trials,
        run_config=tune.RunConfig(name="hugging-face", storage_path=str(Path(results).resolve())),
    )
    print(f"best of {len(found.evaluations)}: {found.best().arch}, {found.best().metrics['params']:.0f} parameters")


if __name__ == "__main__":
    CLI(main)
