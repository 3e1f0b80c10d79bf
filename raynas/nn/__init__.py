"""Choices written inside a model, the search space read off it, and the supernet that holds all of its networks."""

from raynas.nn.batch_statistics import recalibrate
from raynas.nn.choice import Choice
from raynas.nn.elastic import Size, ratio
from raynas.nn.elastic_layers import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    ElasticResize,
    ElasticSqueezeExcite,
)
from raynas.nn.input_choice import InputChoice
from raynas.nn.model_space import ModelSpace
from raynas.nn.morphism.deepening import deepen
from raynas.nn.morphism.inheritance import Inheritance, inherit
from raynas.nn.morphism.lineage import inherit_architecture, inherit_between
from raynas.nn.morphism.widening import widen
from raynas.nn.repeat import Repeat
from raynas.nn.selection import Mixture, Selection
from raynas.nn.supernet import Supernet

__all__ = [
    "Choice",
    "ElasticBatchNorm2d",
    "ElasticConv2d",
    "ElasticLinear",
    "ElasticResize",
    "ElasticSqueezeExcite",
    "Inheritance",
    "InputChoice",
    "Mixture",
    "ModelSpace",
    "Repeat",
    "Selection",
    "Size",
    "Supernet",
    "deepen",
    "inherit",
    "inherit_architecture",
    "inherit_between",
    "ratio",
    "recalibrate",
    "widen",
]
