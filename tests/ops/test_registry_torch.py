"""Every op of the registry beside PyTorch's function of the same meaning, where it is installed: every case;
values, dtypes, gradients, gradients of gradients."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest

import tensorgrad as tg
from tensorgrad.autograd import Case, Op, registry
from tensorgrad.testing import sample_inputs
from tensorgrad.testing._samples import is_varied

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

functional, linalg, fft = torch.nn.functional, torch.linalg, torch.fft
Function = Callable[..., Any]

# A twin takes what the op takes, with PyTorch's names for these
KEYWORDS = {"axis": "dim", "axes": "dims", "keepdims": "keepdim"}


# ---- twins that need more than a name ------------------------------------------------------------


def along_several(function: Function) -> Function:
    """A function along one axis, along several too: these are made one, the last."""

    def along(x: Any, dim: Any = None, keepdim: bool = False, **params: Any) -> Any:
        if dim is None:
            return function(x, **params)
        if isinstance(dim, int):
            return function(x, dim=dim, keepdim=keepdim, **params)
        dims = sorted(d % x.ndim for d in dim)
        kept = [d for d in range(x.ndim) if d not in dims]
        shape = *(x.shape[d] for d in kept), prod(x.shape[d] for d in dims)
        y = function(x.permute(*kept, *dims).reshape(shape), dim=-1, **params)
        for d in dims if keepdim else ():
            y = y.unsqueeze(d)
        return y

    return along


def gradient_of(function: Function) -> Function:
    """The gradient of a function that is linear in its first input, of the given shape."""

    def gradient(gy: Any, *others: Any, shape: Any, **params: Any) -> Any:
        x = torch.zeros(shape, dtype=gy.dtype, requires_grad=True)
        y = function(x, *others, **params)
        return torch.autograd.grad(y, x, gy, create_graph=gy.requires_grad)[0]

    return gradient


def with_dim(function: Function) -> Function:
    """A function that calls its several axes `dim`."""
    return lambda x, dims=None, **params: function(x, dim=dims, **params)


def with_initial(scan: Function, first: float) -> Function:
    def scanned(x: Any, dim: int = 0, include_initial: bool = False, dtype: Any = None) -> Any:
        y = scan(x, dim)
        start = torch.full_like(y.narrow(dim, 0, 1), first) if include_initial else None
        return y if start is None else torch.cat([start, y], dim)

    return scanned


def flat_by_default(function: Function) -> Function:
    return lambda x, dim=None, **params: (
        function(x.reshape(-1), 0, **params) if dim is None else function(x, dim, **params)
    )


def reversible(scan: Function) -> Function:
    return lambda x, dim, reverse=False: (
        scan(x.flip(dim), dim).flip(dim) if reverse else scan(x, dim)
    )


def without_nans(function: Function, value: float) -> Function:
    return lambda x, **params: function(torch.where(x.isnan(), value, x), **params)


def of_symmetric(function: Function) -> Function:
    """Ours read the symmetric part of x, so that the gradient is symmetric; PyTorch's read its lower triangle."""
    return lambda x, **params: function((x + x.mT) / 2, **params)


def nanvar(x: Any, dim: Any = None, correction: int = 0, keepdim: bool = False) -> Any:
    dims = tuple(range(x.ndim)) if dim is None else dim
    n = (~x.isnan()).sum(dims, keepdim)
    squares = (x - x.nanmean(dims, keepdim=True)) ** 2
    return squares.nansum(dims, keepdim=keepdim) / (n - correction)


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: float = 0) -> Any:
    widths = np.broadcast_to(pad_width, (x.ndim, 2))[::-1].reshape(-1).tolist()
    if mode == "constant":
        return functional.pad(x, widths, value=constant_values)
    return functional.pad(x[None, None], widths, mode)[0, 0]  # these pad all but two axes


def roll(x: Any, shift: Any, dim: Any = None) -> Any:
    if dim is None:
        return torch.roll(x, shift)
    shifts, dims = np.broadcast_arrays(shift, dim)
    return torch.roll(x, tuple(shifts.reshape(-1)), tuple(dims.reshape(-1)))


def sliding_window_view(x: Any, window_shape: Any, dim: Any = None) -> Any:
    sizes = np.atleast_1d(window_shape).tolist()
    dims = range(x.ndim) if dim is None else np.atleast_1d(dim).tolist()
    for d, n in zip(dims, sizes, strict=True):
        x = x.unfold(d, n, 1)
    return x


def expand_dims(x: Any, dim: Any) -> Any:
    dims = dim if isinstance(dim, tuple) else (dim,)
    n = x.ndim + len(dims)
    for d in sorted(d % n for d in dims):
        x = x.unsqueeze(d)
    return x


def diff(x: Any, **params: Any) -> Any:
    def edge(value: Any) -> Any:
        return value if isinstance(value, torch.Tensor) else torch.full_like(x[..., :1], value)

    return torch.diff(
        x, **{k: edge(v) if k in ("prepend", "append") else v for k, v in params.items()}
    )


def cross_entropy(x: Any, labels: Any, weight: Any = None, **params: Any) -> Any:
    return functional.cross_entropy(x, labels, weight, **params)


def irfftn_sized(x: Any, s: Any, dims: Any, norm: str) -> Any:
    return fft.irfftn(x, s, dims, norm)


def half_spectrum(gy: Any, shape: Any, dims: Any, norm: str) -> Any:
    s = [gy.shape[d] for d in dims]
    return gradient_of(irfftn_sized)(gy, shape=shape, s=s, dims=dims, norm=norm)


def solve_triangular(a: Any, b: Any, **params: Any) -> Any:
    if b.ndim > 1:
        return linalg.solve_triangular(a, b, **params)
    return linalg.solve_triangular(a, b[:, None], **params)[:, 0]


def cond(x: Any, p: Any = None) -> Any:
    """That of PyTorch, but where its gradient cannot be differentiated: it writes over what it saved."""
    if p in (None, 2, -2, "nuc"):
        return linalg.cond(x, p)
    return linalg.matrix_norm(x, p) * linalg.matrix_norm(linalg.inv(x), p)


def lstsq(a: Any, b: Any) -> Any:
    x, _, rank, values = linalg.lstsq(a, b, driver="gelsd")
    tall = a.shape[-2] > a.shape[-1]
    return x, ((a @ x - b) ** 2).sum(-2) if tall else a.new_zeros(0), rank, values.detach()


def read(x: Any, region: Any) -> Any:
    return x.reshape(-1)[torch.from_numpy(region.places())]


# ---- the tables ----------------------------------------------------------------------------------


def named(module: Any, names: str, prefix: str = "") -> dict[str, Function]:
    return {prefix + name: getattr(module, name) for name in names.split()}


# name of the op: PyTorch's function
TWINS: dict[str, Function] = {
    # elementwise
    **named(
        torch,
        "relu tanh sigmoid exp expm1 log log1p log2 log10 sqrt rsqrt reciprocal square abs neg sign floor "
        "ceil round trunc sin cos tan asin acos atan sinh cosh asinh acosh atanh erf erfc erfinv lgamma "
        "digamma logit xlogy sinc lerp masked_fill logaddexp hypot atan2 isfinite isinf isnan signbit "
        "not_equal less less_equal greater greater_equal where clip bitwise_and bitwise_or bitwise_xor "
        "bitwise_left_shift bitwise_right_shift logical_and logical_or logical_xor logical_not nextafter "
        "copysign positive real conj add sub mul div maximum minimum pow floor_divide remainder",
    ),
    **named(functional, "leaky_relu elu gelu silu softplus"),
    "larger_share": lambda a, b: torch.where(
        a < b, 0.0, torch.where(a == b, 0.5, torch.ones_like(a + b))
    ),
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "power": torch.pow,
    "pow_tensors": torch.pow,
    "equal": torch.eq,
    "bitwise_invert": torch.bitwise_not,
    "polygamma": lambda x, n=1: torch.polygamma(n, x),
    "log1mexp": lambda x: torch.log(-torch.expm1(-x)),
    # shapes
    **named(
        torch, "moveaxis squeeze broadcast_tensors rot90 atleast_1d atleast_2d atleast_3d chunk"
    ),
    "reshape": lambda x, shape, copy=None: x.reshape(shape),
    "broadcast_to": lambda x, shape: x.expand(shape),
    "flatten": lambda x, start_axis=0, end_axis=-1: x.flatten(start_axis, end_axis),
    "permute_dims": torch.permute,
    "matrix_transpose": lambda x: x.mT,
    "transpose": lambda x, dims=None: x.permute(dims or tuple(range(x.ndim))[::-1]),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "expand_dims": expand_dims,
    "sum_to": lambda x, shape: x.sum_to_size(shape),
    "copy": torch.clone,
    "contiguous": lambda x: x.contiguous(),
    "astype": lambda x, dtype: x.to(dtype),
    "meshgrid": lambda *xs, indexing="xy": torch.meshgrid(*xs, indexing=indexing),
    "concat": lambda xs, dim=0: (
        torch.cat([x.reshape(-1) for x in xs]) if dim is None else torch.cat(list(xs), dim)
    ),
    "stack": lambda xs, dim=0: torch.stack(list(xs), dim),
    "split": lambda x, indices_or_sections, dim=0: torch.tensor_split(x, indices_or_sections, dim),
    "unstack": torch.unbind,
    "flip": lambda x, dim=None: x.flip(
        tuple(range(x.ndim)) if dim is None else np.atleast_1d(dim).tolist()
    ),
    "roll": roll,
    "tile": lambda x, repetitions: x.tile(np.atleast_1d(repetitions).astype(int).tolist()),
    "repeat": lambda x, repeats, dim=None: torch.repeat_interleave(
        x, torch.as_tensor(repeats), dim
    ),
    "pad": pad,
    "pad_constant": lambda x, widths, value: (
        pad(x, widths, constant_values=value) if widths else x.clone()
    ),
    "diagonal": lambda x, offset=0, axis1=0, axis2=1: x.diagonal(offset, axis1, axis2),
    "diag": lambda x, k=0: x.diag(k),
    "tril": lambda x, k=0: x.tril(k),
    "triu": lambda x, k=0: x.triu(k),
    "unfold": lambda x, dim, size, step: x.unfold(dim, size, step),
    "sliding_window_view": sliding_window_view,
    # indices
    "take": lambda x, indices, dim=None: (
        x.take(indices) if dim is None else x[(slice(None),) * dim + (indices,)]
    ),
    "take_along_axis": lambda x, indices, dim=-1: torch.take_along_dim(x, indices, dim),
    "one_hot": lambda index, classes: functional.one_hot(index, classes).float(),  # theirs: int64
    "basic_index": lambda x, key: x[key],
    "array_index": lambda x, key: x[key],
    "index_blank": lambda x, key: x.index_put(key, torch.zeros((), dtype=x.dtype)),
    "put": lambda x, indices, values: x.put(indices, values.expand(indices.shape)),
    "gather": lambda x, dim, index: x.gather(dim, index % x.shape[dim]),
    "scatter": lambda x, dim, index, src: x.scatter(
        dim, index % x.shape[dim], src if src.ndim else src.expand(index.shape)
    ),
    "scatter_add": lambda x, dim, index, src: x.scatter_add(dim, index % x.shape[dim], src),
    "index_select": lambda x, dim, index: x.index_select(dim, index % x.shape[dim]),
    "index_add": lambda x, dim, index, src: x.index_add(dim, index % x.shape[dim], src),
    "masked_select": torch.masked_select,
    "_along": torch.take_along_dim,
    "region_read": read,
    "region_blank": lambda x, region: (
        x.reshape(-1)
        .index_fill(0, torch.from_numpy(region.places().reshape(-1)), 0)
        .reshape(x.shape)
    ),
    **named(torch, "argwhere isin"),
    "nonzero": lambda x: torch.nonzero(x, as_tuple=True),
    "count_nonzero": lambda x, dim=None, keepdim=False: (
        torch.count_nonzero(x, dim) if not keepdim else torch.count_nonzero(x, dim).unsqueeze(dim)
    ),
    "bincount": lambda x, weights=None, minlength=0: (
        torch.bincount(x, minlength=minlength)
        if weights is None  # theirs of weights has no gradient
        else weights.new_zeros(max(int(x.max()) + 1, minlength)).index_add(0, x, weights)
    ),
    # what gradients are made of
    "take_gradient": gradient_of(lambda *args, **params: TWINS["take"](*args, **params)),
    "take_along_axis_gradient": gradient_of(
        lambda x, indices, dim=-1: x.gather(dim, indices % x.shape[dim])
    ),
    "_along_gradient": gradient_of(torch.take_along_dim),
    "basic_index_gradient": gradient_of(lambda x, key: x[key]),
    "array_index_gradient": gradient_of(lambda x, key: x[key]),
    "region_embed": gradient_of(read),
    "diagonal_gradient": gradient_of(lambda *args, **params: TWINS["diagonal"](*args, **params)),
    "unfold_gradient": gradient_of(lambda x, dim, size, step: x.unfold(dim, size, step)),
    "softmax_gradient": lambda gy, y, dim=-1: (gy - (gy * y).sum(dim, keepdim=True)) * y,
    "log_softmax_gradient": lambda gy, y, dim=-1: gy - y.exp() * gy.sum(dim, keepdim=True),
    # reductions, order
    **named(torch, "sum mean all any argmax argmin nansum nanmean kthvalue cummax cummin"),
    **named(torch, "logcumsumexp argsort"),
    "max": torch.amax,
    "min": torch.amin,
    "prod": along_several(torch.prod),
    "euclidean_norm": linalg.vector_norm,
    "var": lambda x, dim=None, correction=0, keepdim=False: torch.var(
        x, dim, correction=correction, keepdim=keepdim
    ),
    "std": lambda x, dim=None, correction=0, keepdim=False: torch.std(
        x, dim, correction=correction, keepdim=keepdim
    ),
    "norm": linalg.vector_norm,
    "logsumexp": lambda x, dim=None, keepdim=False: (
        x.reshape(-1).logsumexp(0) if dim is None else x.logsumexp(dim, keepdim)
    ),
    "quantile": along_several(
        lambda x, q, method="linear", **params: torch.quantile(x, q, interpolation=method, **params)
    ),
    "nanquantile": along_several(
        lambda x, q, method="linear", **params: torch.nanquantile(
            x, q, interpolation=method, **params
        )
    ),
    "median": along_several(lambda x, **params: torch.quantile(x, 0.5, **params)),
    "nanmedian": along_several(lambda x, **params: torch.nanquantile(x, 0.5, **params)),
    "nanprod": without_nans(along_several(torch.prod), 1.0),
    "nanmax": without_nans(torch.amax, -np.inf),
    "nanmin": without_nans(torch.amin, np.inf),
    "nanvar": nanvar,
    "nanstd": lambda x, **params: nanvar(x, **params).sqrt(),
    "cumsum": flat_by_default(torch.cumsum),
    "cumprod": flat_by_default(torch.cumprod),
    "cumulative_sum": with_initial(torch.cumsum, 0),
    "cumulative_prod": with_initial(torch.cumprod, 1),
    "scan_sum": reversible(torch.cumsum),
    "scan_prod": reversible(torch.cumprod),
    "searchsorted": lambda x1, x2, sorter=None, side="left": torch.searchsorted(
        x1, x2, sorter=sorter, side=side
    ),
    "diff": diff,
    "sort": lambda x, **params: torch.sort(x, **params)[0],
    "topk": torch.topk,
    "unique": torch.unique,
    "unique_values": torch.unique,
    "unique_counts": lambda x: torch.unique(x, return_counts=True),
    "unique_inverse": lambda x: torch.unique(x, return_inverse=True),
    # products, layers, losses
    **named(torch, "matmul inner kron bmm addmm"),
    "softmax": lambda x, dim=-1: x.softmax(dim),
    "log_softmax": lambda x, dim=-1: x.log_softmax(dim),
    "linear": functional.linear,
    "linear_activated": lambda *args, activation: getattr(torch, activation)(
        functional.linear(*args)
    ),
    "tensordot": torch.tensordot,
    "dot": lambda a, b: (
        torch.tensordot(a, b, ([-1], [max(b.ndim - 2, 0)])) if a.ndim and b.ndim else a * b
    ),
    "vdot": lambda a, b: torch.vdot(a.reshape(-1), b.reshape(-1)),
    "vecdot": linalg.vecdot,
    "outer": lambda a, b: torch.outer(a.reshape(-1), b.reshape(-1)),
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "layer_norm": lambda x, w=None, b=None, eps=1e-5, dims=1: functional.layer_norm(
        x, x.shape[x.ndim - dims :], w, b, eps
    ),
    "rms_norm": lambda x, w=None, eps=1e-6, dims=1: functional.rms_norm(
        x, x.shape[x.ndim - dims :], w, eps
    ),
    "cross_entropy": cross_entropy,
    "bernoulli_log_loss": lambda p, target: functional.binary_cross_entropy(
        p, target, reduction="none"
    ),
    # linalg
    **named(
        linalg,
        "solve matrix_exp inv det matrix_power qr eig eigvals svd svdvals pinv matrix_rank "
        "vector_norm matrix_norm norm diagonal",
        "linalg.",
    ),
    "linalg.slogdet": lambda x: (linalg.det(x).sign().detach(), linalg.slogdet(x).logabsdet),
    "linalg.solve_triangular": solve_triangular,
    "linalg.cond": cond,
    "linalg.cross": lambda a, b, dim=-1: linalg.cross(*torch.broadcast_tensors(a, b), dim=dim),
    "linalg.solve_matrices": linalg.solve,
    "linalg.substitution": lambda a, b, from_below, unit: linalg.solve_triangular(
        a, b, upper=from_below, unitriangular=unit
    ),
    "linalg.cholesky": of_symmetric(linalg.cholesky),
    "linalg.cholesky_lower": of_symmetric(linalg.cholesky),
    "linalg.eigh": of_symmetric(linalg.eigh),
    "linalg.eigvalsh": of_symmetric(linalg.eigvalsh),
    "linalg.pinv_cut": linalg.pinv,
    "linalg.lstsq": lstsq,
    "linalg.outer": torch.outer,
    "linalg.trace": lambda x, offset=0, dtype=None: linalg.diagonal(x, offset=offset).sum(-1),
    # fft
    **named(fft, "fft ifft rfft ihfft irfft hfft", "fft."),
    **{
        name: with_dim(function)
        for name, function in named(
            fft, "fftn ifftn rfftn irfftn fftshift ifftshift", "fft."
        ).items()
    },
    "fft.irfftn_sized": irfftn_sized,
    "fft.half_spectrum": half_spectrum,
}

# name of the op: why PyTorch has none like it
NONE = {
    "imag": "torch.imag refuses real tensors",
    "linear_recurrence": "no such function",
    "unique_all": "torch.unique gives no first positions",
    "linalg.cofactors": "no such function",
    "linalg.slogdet_packed": "parts of slogdet in one tensor",
    "linalg.qr_packed": "parts of qr in one tensor",
    "linalg.qr_complete": "parts of qr in one tensor",
    "linalg.eigh_packed": "parts of eigh in one tensor",
    "linalg.eig_packed": "parts of eig in one tensor",
    "linalg.svd_packed": "parts of svd in one tensor",
    "linalg.complement": "a part of svd that is not unique",
}

# name of the op: how many of its cases differ, and why
EXCEPTIONS = {
    "basic_index": (1, "PyTorch's slices take no negative step"),
    "pad": (3, "PyTorch pads by no more than the axis is long, and knows no mode symmetric"),
    "put": (1, "of several values for one place the last stays; PyTorch's gradient goes to all"),
    "linalg.vector_norm": (1, "PyTorch's second gradient of the norm of no elements is NaN"),
}

# Vectors are unique but for their signs: those of both are made the same before they are compared
SIGNS: dict[str, Function] = {
    "linalg.eigh": lambda w, v: (w, v * v[..., :1, :].sign()),
    "linalg.svd": lambda u, s, vh: (u * vh[..., :1].sign().mT, s, vh * vh[..., :1].sign()),
}


# ---- the comparison ------------------------------------------------------------------------------


def theirs(value: Any) -> Any:
    """A parameter as PyTorch takes it."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, tuple):
        return tuple(map(theirs, value))
    if isinstance(value, type) and issubclass(value, np.generic):
        return torch.from_numpy(np.zeros(0, value)).dtype
    return value


def parts(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def to_numpy(tensor: Any) -> np.ndarray:
    return tensor.numpy(force=True) if isinstance(tensor, torch.Tensor) else tensor.detach().numpy()


def derivatives(module: Any, ys: list[Any], xs: list[Any], second: bool) -> list[np.ndarray]:
    """Gradients of the results by the inputs, and of these gradients by inputs and upstream gradients."""
    rng = np.random.default_rng(2)

    def gradients(of: list[Any], by: list[Any], upstream: list[Any]) -> list[Any]:
        found = [None] * len(by)
        if on_tape := [i for i, y in enumerate(of) if y.requires_grad]:
            found = module.autograd.grad(
                [of[i] for i in on_tape],
                by,
                [upstream[i] for i in on_tape],
                create_graph=second,
                allow_unused=True,
            )
        return [module.zeros_like(x) if g is None else g for g, x in zip(found, by, strict=True)]

    def upstream(of: list[Any]) -> list[Any]:
        values = [rng.uniform(0.5, 1.5, tuple(y.shape)) for y in of]
        return [module.tensor(value, requires_grad=second) for value in values]

    gys = upstream(ys)
    first = gradients(ys, xs, gys)
    again = gradients(first, xs + gys, upstream(first)) if second else []
    return [to_numpy(g) for g in first + again]


def compare(op: Op, twin: Function, case: Case) -> None:
    arrays = sample_inputs(case)
    varied = [v and op.differentiable for v in is_varied(case)]
    xs, ts = (
        [
            None if a is None else module.tensor(a, requires_grad=v)
            for a, v in zip(arrays, varied, strict=True)
        ]
        for module in (tg, torch)
    )
    params = {KEYWORDS.get(name, name): theirs(value) for name, value in case.params.items()}
    ys, expected = parts(op.function(*xs, **case.params)), parts(twin(*ts, **params))
    if op.name in SIGNS:
        ys, expected = SIGNS[op.name](*ys), SIGNS[op.name](*expected)
    for y, want in zip(ys, expected, strict=True):
        got, wanted = to_numpy(y), to_numpy(want)
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-10)
        assert got.dtype == wanted.dtype
        assert y.requires_grad == want.requires_grad
    by = [i for i, v in enumerate(varied) if v]
    on_tape = [i for i, want in enumerate(expected) if want.requires_grad]
    both = [
        derivatives(module, [results[i] for i in on_tape], [inputs[i] for i in by], op.second)
        for module, results, inputs in ((tg, ys, xs), (torch, expected, ts))
        if on_tape
    ]
    for i, (got, wanted) in enumerate(zip(*both, strict=True)):
        np.testing.assert_allclose(got, wanted, 1e-7, 1e-8, err_msg=f"derivative {i}")


BUILT_IN = [op for op in registry.values() if op.function.__module__.startswith("tensorgrad.")]


def test_every_op_is_listed() -> None:
    names = [*TWINS, *NONE]
    assert sorted(names) == sorted(op.name for op in BUILT_IN)
    assert EXCEPTIONS.keys() | SIGNS.keys() <= TWINS.keys()


@pytest.mark.parametrize(
    "op", [op for op in BUILT_IN if op.name not in NONE], ids=lambda op: op.name
)
def test_same_as_torch(op: Op) -> None:
    different = []
    for case in op.cases:
        try:
            compare(op, TWINS[op.name], case)
        except (AssertionError, RuntimeError, TypeError, ValueError) as error:
            different.append(f"{case!r}: {error}")
    count, _ = EXCEPTIONS.get(op.name, (0, ""))
    assert len(different) == count, "\n".join(different)
