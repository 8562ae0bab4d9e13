"""Datasets and mini-batches, with PyTorch's names and meanings."""

from tensorgrad.data import datasets
from tensorgrad.data._dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from tensorgrad.data._idx import read_idx, write_idx
from tensorgrad.data._loader import DataLoader, default_collate
from tensorgrad.data._sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "datasets",
    "default_collate",
    "random_split",
    "read_idx",
    "write_idx",
]
