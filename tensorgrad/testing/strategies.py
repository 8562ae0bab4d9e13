"""Hypothesis strategies for property tests of code that uses Tensors: shapes, axes, dtypes, memory
layouts, values. Needs hypothesis, which the extra `test` installs.

    from hypothesis import given
    from tensorgrad.testing import strategies as tgs

    @given(tgs.tensors())
    def test_double_negation(x):
        assert_close(-(-x), x)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tensorgrad._tensor import Tensor
from tensorgrad.dtypes import DTYPES, float32, float64
from tensorgrad.testing._samples import LAYOUTS, to_tensor

Shape = tuple[int, ...]

_KINDS = {"floating": "f", "integral": "iu", "bool": "b", "complex": "c", "numeric": "iufc"}


def shapes(
    *, min_dims: int = 0, max_dims: int = 4, min_side: int = 0, max_side: int = 5
) -> st.SearchStrategy[Shape]:
    """Shapes, the one without axes and empty ones included.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.shapes(min_dims=2)
    """
    return hnp.array_shapes(
        min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )


def broadcastable_shapes(
    count: int = 2, *, max_dims: int = 4, min_side: int = 0, max_side: int = 5
) -> st.SearchStrategy[tuple[tuple[Shape, ...], Shape]]:
    """`count` shapes that broadcast, and the shape that they broadcast to.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.broadcastable_shapes(3)
    """
    return hnp.mutually_broadcastable_shapes(
        num_shapes=count, max_dims=max_dims, min_side=min_side, max_side=max_side
    ).map(lambda found: (found.input_shapes, found.result_shape))


def axes(ndim: int, *, several: bool = True) -> st.SearchStrategy[Any]:
    """What a reduction takes as `axis` of a tensor of `ndim` axes: None, an axis counted from either
    end and, if `several`, tuples of different axes.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.axes(2)
    """
    choices: list[st.SearchStrategy[Any]] = [st.none()]
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
    if several:
        choices.append(hnp.valid_tuple_axes(ndim))
    return st.one_of(choices)


def dtypes(kind: str | None = None) -> st.SearchStrategy[np.dtype[Any]]:
    """The dtypes of tensors: all, or of a kind: "floating", "integral", "bool", "complex",
    "numeric".

    >>> from tensorgrad.testing import strategies
    >>> strategies.dtypes("floating")
    sampled_from([dtype('float32'), dtype('float64')])
    """
    letters = "fiubc" if kind is None else _KINDS[kind]
    return st.sampled_from([dtype for dtype in DTYPES if dtype.kind in letters])


def layouts() -> st.SearchStrategy[str]:
    """Names of memory layouts: "" (contiguous), "transposed", "strided", "negative step".

    >>> from tensorgrad.testing import strategies
    >>> strategies.layouts()
    sampled_from(['', 'transposed', 'strided', 'negative step'])
    """
    return st.sampled_from(["", *LAYOUTS])


def values(
    dtype: Any = float64,
    *,
    low: float | None = None,
    high: float | None = None,
    special: bool = False,
) -> st.SearchStrategy[Any]:
    """Numbers that a tensor of `dtype` holds exactly. low, high: limits; by default -10 and 10 for
    floats. special: also NaN, infinities, subnormal numbers, and all that the dtype can hold.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.values("float32", low=0.0, high=1.0)
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fc":
        limits = {} if low is None and high is None else {"min_value": low, "max_value": high}
        return hnp.from_dtype(dtype, **limits)  # type: ignore[arg-type]
    if special:
        return hnp.from_dtype(dtype)
    width: Any = 32 if dtype.name in ("float32", "complex64") else 64
    first, last = (-10.0 if low is None else low), (10.0 if high is None else high)
    as_width = float32.type if width == 32 else float64.type
    real = st.floats(
        float(as_width(first)), float(as_width(last)), width=width, allow_subnormal=False
    )
    return real if dtype.kind == "f" else st.builds(complex, real, real)


@st.composite
def arrays(
    draw: st.DrawFn,
    /,
    dtype: Any = float64,
    shape: Any = None,
    **limits: Any,
) -> np.ndarray[Any, Any]:
    """NumPy arrays. dtype: a dtype or a strategy of them. shape: a shape or a strategy of them; by
    default `shapes()`. limits: low, high and special, as in `values`.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.arrays(shape=(2, 3), low=0.5)
    """
    chosen = draw(dtype) if isinstance(dtype, st.SearchStrategy) else np.dtype(dtype)
    size = shapes() if shape is None else shape
    return draw(hnp.arrays(chosen, size, elements=values(chosen, **limits)))


@st.composite
def tensors(
    draw: st.DrawFn,
    /,
    dtype: Any = float64,
    shape: Any = None,
    *,
    layout: Any = None,
    requires_grad: bool = False,
    **limits: Any,
) -> Tensor:
    """Tensors. dtype, shape, limits: as in `arrays`. layout: the name of a memory layout or a strategy
    of them; by default `layouts()`.

    >>> from tensorgrad.testing import strategies
    >>> strategy = strategies.tensors("float32", requires_grad=True)
    """
    array = draw(arrays(dtype, shape, **limits))
    chosen = layouts() if layout is None else layout
    name = draw(chosen) if isinstance(chosen, st.SearchStrategy) else chosen
    result = to_tensor(array, name, requires_grad)
    assert result is not None
    return result


__all__ = [
    "arrays",
    "axes",
    "broadcastable_shapes",
    "dtypes",
    "layouts",
    "shapes",
    "tensors",
    "values",
]
