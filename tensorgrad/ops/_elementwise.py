"""The declarations of elementwise ops: `unary` and `binary`. The C library has the kernel under the
op's name.

These are the hot paths of eager code, so they are written out: no *args, no context objects, no
layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import copysign, prod
from typing import Any, TypeVar

import numpy as np

from tensorgrad._captures import captures, one_step, unrecorded
from tensorgrad._native import (
    BINARY,
    NULL,
    UNARY,
    Storage,
    broadcast_layout,
    clock,
    fail,
    lib,
    scalar_layout,
)
from tensorgrad._tensor import Tensor, as_tensor, full_raw, view, wrap_array
from tensorgrad.autograd._declare import Case, Op, methods_of, register
from tensorgrad.autograd._modes import mode
from tensorgrad.autograd._recorded import parameters_of, un_broadcast
from tensorgrad.autograd._tape import Node, check_unmodified, watch, watchers
from tensorgrad.autograd._traced import Traced, traced
from tensorgrad.dtypes import COMPLEX64, COMPLEX128, DTYPES, F32, F64, ITEMSIZES, promote
from tensorgrad.errors import ArgumentError, DTypeError, ShapeError, TensorgradError
from tensorgrad.ops._binary_gradient import LARGE, both_gradients
from tensorgrad.shapes import Shape

F = TypeVar("F", bound=Callable[..., Any])
_new = Tensor.__new__
_new_node = Node.__new__
_new_storage = Storage.__new__
_alloc = lib.tg_alloc


def by_numpy(name: str, reference: Callable[..., Any], *operands: Any) -> Tensor:
    """What the reference makes of arrays whose dtype has no kernel: integers, booleans, complex
    numbers. Raises DTypeError where NumPy has no such function, ShapeError, ArgumentError."""
    return wrap_array(_by_numpy(name, reference, *operands))


@one_step
def _by_numpy(name: str, reference: Callable[..., Any], *operands: Any) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            y = np.asarray(reference(*operands), order="C")
    except TypeError:
        dtypes = " and ".join(str(a.dtype) for a in operands if isinstance(a, np.ndarray))
        raise DTypeError(f"{name}: not defined for {dtypes}") from None
    except ValueError as error:
        kind = ShapeError if "broadcast" in str(error) else ArgumentError
        raise kind(f"{name}: {error}") from None
    return y.astype(np.float32) if y.dtype == np.float16 else y


# ---- unary ---------------------------------------------------------------------------------------
_WORTH_VIEWS = 1 << 15  # elements


def _memory_order(x: Tensor) -> list[int] | None:
    """The order of its axes in which x, which has strides, lies in memory without gaps, as a
    transposed tensor does; None if there is none."""
    shape, strides = x._shape, x.strides
    axes = sorted(range(len(shape)), key=strides.__getitem__, reverse=True)
    expected = 1
    for axis in reversed(axes):
        if strides[axis] != expected:
            return None
        expected *= shape[axis]
    return axes


def _of_any(compute: Callable[..., Tensor], x: Any, name: str, p0: float, p1: float) -> Tensor:
    """compute(x), which takes contiguous float tensors; integers become float32. The order of the
    elements does not matter to a function of one, so a transposed x is taken, and the result left,
    as it lies; only what has gaps or repeats is copied, and what is small on the tape, where a copy
    costs less than two views."""
    t = as_tensor(x, name)
    if t._code >= COMPLEX64:
        raise DTypeError(f"{name}: expected real numbers, got {t.dtype}")
    if t._code > F64:
        t = t.astype(DTYPES[F32])
    if t._strides is None:
        return compute(t, p0, p1)
    axes = _memory_order(t)
    taped = t._node is not None and mode.enabled
    if axes is None or (taped and t._size < _WORTH_VIEWS):
        return compute(t.contiguous(), p0, p1)
    if taped:
        inverse = sorted(range(len(axes)), key=axes.__getitem__)
        return compute(t.permute_dims(axes), p0, p1).permute_dims(inverse)
    y = compute(view(t, tuple(t._shape[a] for a in axes), None, 0), p0, p1)
    y._shape, y._strides = t._shape, t._strides
    return y


def unary(
    *,
    saves: str | None = "x",
    second: Callable[..., Any] | None = None,
    integers: str = "float",
    complex: bool | None = None,
    reference: Callable[..., Any],
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
) -> Callable[[F], F]:
    """Declares y = f(x), element by element, with the kernels of csrc/kernels/unary_table.h under
    the op's name. Parameters of the declared function after x (two at most) go to the kernel as
    numbers.

    saves     What the C gradient kernel reads: "x" or "y", as its row says; None where the gradient
    is zero everywhere. second    The derivative of f' by what is saved, as a function of it (and
    the parameters), in ops: it makes the gradient differentiable. None where it is zero.
    integers  What happens to integer tensors: "float" converts them, "numpy" gives them to the
    reference. complex   Whether the reference takes complex tensors; None: if it is a NumPy function
    that does."""

    def declare(function: F) -> F:
        name = function.__name__
        kernel = UNARY[name]
        arguments = parameters_of(function)[1:]
        apply_gradient = _unary_gradient(name, kernel, second)
        saves_output = saves == "y"
        lib_unary = lib.tg_unary
        takes_complex = complex
        if complex is None:
            takes_complex = any("D" in kinds for kinds in getattr(reference, "types", ()))

        def elsewhere(code: int) -> bool:
            """Whether the reference computes tensors of this dtype."""
            return bool(takes_complex) if code >= COMPLEX64 else code > F64 and integers == "numpy"

        def compute(x: Tensor, p0: float, p1: float) -> Tensor:
            y = _new(Tensor)
            y._code = code = x._code
            y._size = size = x._size
            y._storage = storage = _new_storage(Storage)
            y._ptr = storage.ptr = ptr = _alloc(size * ITEMSIZES[code])
            storage.written = 0
            y._shape = x._shape
            y._strides = None
            status = lib_unary(kernel, code, size, x._ptr, ptr, p0, p1)
            if status:
                fail(status, name, storage)
            node = x._node
            if node is not None and saves is not None and mode.enabled:
                y._node = record = _new_node(Node)
                record.seq = clock()
                record.rule = rule
                record.edges = (node,)
                record.saved = (storage if saves_output else x, p0, p1)
                if watchers:
                    watch(y)
            else:
                y._node = None
            return y

        def rule(gy: Tensor, node: Node) -> Sequence[Any]:
            saved, p0, p1 = node.saved
            if saves_output:
                if saved.written > node.seq:
                    check_unmodified(saved, node)
                try:
                    if gy._strides is not None:
                        gy = gy.contiguous()
                except AttributeError:
                    pass  # it stands for a Tensor, and only its shape is asked for
                saved = gy._restored(saved, node)
            elif saved._storage.written > node.seq:
                check_unmodified(saved._storage, node)
            return [apply_gradient(gy, saved, p0, p1)]

        rule.__name__ = name

        if arguments:
            names = [a.name for a in arguments]
            defaults = [a.default for a in arguments]

            def call(x: Any, *args: Any, **params: Any) -> Tensor:
                values = [*args, *defaults[len(args) :]]
                for key, value in params.items():
                    if key not in names:
                        raise TypeError(
                            f"{name}: unexpected keyword {key!r}; it takes {', '.join(names)}"
                        )
                    values[names.index(key)] = value
                if len(values) > len(names):
                    raise TypeError(
                        f"{name}: expected at most {len(names)} parameters after x, got "
                        f"{len(values)}"
                    )
                try:
                    p0, p1 = [float(v) for v in [*values, 0.0][:2]]
                except (TypeError, ValueError):
                    raise DTypeError(
                        f"{name}: expected numbers for {', '.join(names)}, got {values}"
                    ) from None
                try:
                    if getattr(x, "_code", F32) > F64 and elsewhere(x._code):
                        return by_numpy(name, reference, x._array(), *values)
                    return _of_any(compute, x, name, p0, p1)
                except AttributeError:
                    if isinstance(x, Traced):
                        return x.apply(call, (x,), dict(zip(names, values)))
                    raise

        else:

            def call(x: Any, /) -> Tensor:  # type: ignore[misc]
                try:
                    if x._strides is None and x._code <= F64:
                        return compute(x, 0.0, 0.0)
                except AttributeError:
                    if isinstance(x, Traced):
                        return x.apply(call, (x,), {})
                    x = as_tensor(x, name)
                if elsewhere(x._code):
                    return by_numpy(name, reference, x._array())
                return _of_any(compute, x, name, 0.0, 0.0)

        call = wraps(function)(call)
        call.derivative = apply_gradient  # type: ignore[attr-defined]
        register(
            Op(
                name,
                call,
                reference,
                cases,
                family="unary",
                kernel="C",
                differentiable=saves is not None,
                methods=methods_of(name, method),
                tags=("integers",) if integers == "numpy" else (),
            )
        )
        return call  # type: ignore[return-value]

    return declare


def _unary_gradient(
    name: str, kernel: int, second: Callable[..., Any] | None
) -> Callable[..., Tensor]:
    """The op gx = gy * f'(s), s being f's input or output: itself differentiable."""
    lib_gradient = lib.tg_unary_grad
    parameters = 0 if second is None else len(parameters_of(second)) - 1

    def apply(gy: Tensor, s: Tensor, p0: float, p1: float) -> Tensor:
        try:
            if gy._strides is not None:
                gy = gy.contiguous()
        except AttributeError:
            stands_for: Any = gy
            return stands_for.apply(apply, (gy, s), {"p0": p0, "p1": p1})
        gx = _new(Tensor)
        gx._code = code = gy._code
        gx._size = size = gy._size
        gx._storage = storage = _new_storage(Storage)
        gx._ptr = storage.ptr = ptr = _alloc(size * ITEMSIZES[code])
        storage.written = 0
        gx._shape = gy._shape
        gx._strides = None
        status = lib_gradient(kernel, code, size, gy._ptr, s._ptr, ptr, p0, p1)
        if status:
            fail(status, name, storage)
        gx._node = None
        if mode.enabled and (gy._node is not None or s._node is not None):
            gx._node = node = _new_node(Node)
            node.seq = clock()
            node.rule = rule
            node.edges = (gy._node, s._node)
            node.saved = (gy, s, p0, p1)
            if watchers:
                watch(gx)
        return gx

    def rule(g: Tensor, node: Node) -> Sequence[Any]:
        gy, s, p0, p1 = node.saved
        check_unmodified(gy._storage, node)
        check_unmodified(s._storage, node)
        by_gy, by_s = node.edges
        return [
            None if by_gy is None else apply(g, s, p0, p1),
            None if by_s is None or second is None else g * gy * second(s, *(p0, p1)[:parameters]),
        ]

    rule.__name__ = name + "_gradient"
    apply.batching = "same"  # type: ignore[attr-defined]
    return apply


# ---- binary --------------------------------------------------------------------------------------

_scalars: dict[tuple[float, ...], Tensor] = {}
_MAX_SCALARS = 1024
_NOTHING = (None, None, None, None)


def scalar(value: float, code: int) -> Tensor:
    """A number as a tensor without axes; those in use are kept."""
    t = _scalars.get((value, code))
    if t is None:
        # 0.0 and -0.0 are one key: zeros go by their sign
        key = (value, code) if value else (value, code, copysign(1.0, value))
        t = _scalars.get(key)
        if t is None:
            if len(_scalars) >= _MAX_SCALARS:
                _scalars.clear()
            with unrecorded():
                t = _scalars[key] = full_raw((), 1, code, value)
    return t


def operands(a: Any, b: Any, where: str) -> tuple[Tensor, Tensor]:
    """Both as Tensors of one dtype, by the promotion rule; a Python number takes the other's
    dtype."""
    a_is_number = isinstance(a, (int, float, complex))
    b_is_number = isinstance(b, (int, float, complex))
    if b_is_number and not a_is_number:
        a = as_tensor(a, where)
        return _with_number(a, b)
    if a_is_number and not b_is_number:
        b, a = _with_number(as_tensor(b, where), a)
        return a, b
    a, b = as_tensor(a, where), as_tensor(b, where)
    if a._code != b._code:
        code = promote(a._code, b._code)
        a = a if a._code == code else a.astype(DTYPES[code])
        b = b if b._code == code else b.astype(DTYPES[code])
    return a, b


def _with_number(t: Tensor, number: complex) -> tuple[Tensor, Tensor]:
    if t._code >= COMPLEX64 or isinstance(number, complex):
        code = COMPLEX128 if t._code in (F64, COMPLEX128) else COMPLEX64
        t = t if t._code == code else t.astype(DTYPES[code])
        return t, as_tensor(DTYPES[code].type(number), "number")
    if t._code <= F64:
        try:
            return t, scalar(float(number), t._code)
        except OverflowError:
            raise DTypeError(
                f"a number of {len(str(number))} digits does not fit {t.dtype}"
            ) from None
    if isinstance(number, float) and t.dtype.kind != "c":
        return t.astype(DTYPES[F32]), scalar(number, F32)
    try:
        array = (
            np.result_type(t.dtype, number).type(number)
            if isinstance(number, bool)
            else t.dtype.type(number)
        )
    except OverflowError:
        raise DTypeError(f"the number {number} does not fit {t.dtype}") from None
    if t.dtype == bool and not isinstance(number, bool):
        t, array = t.astype("int64"), np.int64(number)
    return t, as_tensor(array, "number")


_broadcasts: dict[Any, tuple[Shape, Any, int]] = {}
_MAX_BROADCASTS = 4096


def _broadcast(
    name: str, a: Shape, a_strides: Shape | None, b: Shape, b_strides: Shape | None
) -> tuple[Shape, Any, int]:
    """The shape of the result, the layout that walks a and b, the size. Kept for reuse."""
    shape, layout = broadcast_layout(name, (a, a_strides), (b, b_strides))
    if len(_broadcasts) >= _MAX_BROADCASTS:
        _broadcasts.clear()
    found = _broadcasts[a, a_strides, b, b_strides] = shape, layout, prod(shape)
    return found


def binary(
    *,
    gradient: tuple[Callable[..., Any] | None, Callable[..., Any] | None] | None,
    saves: tuple[str, str] = ("", ""),
    reference: Callable[..., Any],
    kernel: str = "",
    integers: str = "numpy",
    fused: str = "",
    cases: Sequence[Case] = (),
    method: bool | str | Sequence[str] = True,
) -> Callable[[F], F]:
    """Declares y = f(a, b) with broadcasting, with the kernel of csrc/kernels/binary_table.h under
    the op's name, or `kernel`.

    gradient  (gy, y, a, b) -> ga and (gy, y, a, b) -> gb, in ops, each called only where wanted; y
              is None unless saved. The engine sums over broadcast axes. None for one of them: it is
              zero; for both: the op ends the tape.
    saves     Which of a, b, y each of the two gradients reads, e.g. ("b", "a b"); what is not saved
              arrives as None.
    integers  "numpy" gives integer tensors to the reference, "float" converts them.
    fused     Whether tg_binary_grad has the same gradients in one pass: "always" where that pays
              for tensors of any shape and size; "single" where each is a single step, so that it
              saves something only with the sums over what a broadcast operand repeats, or in large
              tensors."""

    def declare(function: F) -> F:
        name = function.__name__
        kernel_id = BINARY[kernel or name]
        lib_binary = lib.tg_binary
        by_a, by_b = gradient or (None, None)
        recorded = gradient is not None
        saves_nothing = saves == ("", "")
        single = fused == "single"
        a_for_a, b_for_a, y_for_a = (letter in saves[0] for letter in "aby")
        a_for_b, b_for_b, y_for_b = (letter in saves[1] for letter in "aby")

        def call(a: Any, b: Any, /) -> Tensor:
            try:
                code = a._code
                shape = a._shape
                if b.__class__ is float and code <= F64 and a._strides is None and shape:
                    b = scalar(b, code)
                    size = a._size
                    layout = scalar_layout(size)
                elif code != b._code or code > F64:
                    return mixed(a, b)
                elif shape == b._shape and a._strides is None and b._strides is None:
                    layout = NULL
                    size = a._size
                else:
                    key = (shape, a._strides, b._shape, b._strides)
                    found = _broadcasts.get(key)
                    if found is None:
                        found = _broadcast(name, *key)
                    shape, layout, size = found
            except AttributeError:
                return mixed(a, b)
            y = _new(Tensor)
            y._storage = storage = _new_storage(Storage)
            y._ptr = storage.ptr = ptr = _alloc(size * ITEMSIZES[code])
            storage.written = 0
            y._shape = shape
            y._strides = None
            y._size = size
            y._code = code
            status = lib_binary(kernel_id, code, size, a._ptr, b._ptr, ptr, layout)
            if status:
                fail(status, name, storage)
            node_a = a._node
            node_b = b._node
            if (node_a is not None or node_b is not None) and mode.enabled and recorded:
                y._node = record = _new_node(Node)
                record.seq = clock()
                record.rule = rule
                record.edges = (node_a, node_b)
                record.saved = (
                    _NOTHING
                    if saves_nothing and layout is NULL
                    else (
                        a
                        if (a_for_a and node_a is not None) or (a_for_b and node_b is not None)
                        else None,
                        b
                        if (b_for_a and node_a is not None) or (b_for_b and node_b is not None)
                        else None,
                        storage
                        if (y_for_a and node_a is not None) or (y_for_b and node_b is not None)
                        else None,
                        None if layout is NULL else (a._shape, b._shape),
                    )
                )
                if watchers:
                    watch(y)
            else:
                y._node = None
            return y

        def mixed(a: Any, b: Any) -> Tensor:
            if (t := traced((a, b))) is not None:
                return t.apply(call, (a, b), {})
            a, b = operands(a, b, name)
            if a._code > F64:
                if integers == "float" and a._code < COMPLEX64:
                    return call(a.astype(DTYPES[F32]), b.astype(DTYPES[F32]))
                return by_numpy(name, reference, a._array(), b._array())
            if a._code != b._code:
                raise TensorgradError(
                    f"{name}: operands of {a.dtype} and {b.dtype} were not unified"
                )
            return call(a, b)

        def rule(gy: Tensor, node: Node) -> Sequence[Any]:
            a, b, storage, shapes = node.saved
            if a is not None and a._storage.written > node.seq:
                check_unmodified(a._storage, node)
            if b is not None and b._storage.written > node.seq:
                check_unmodified(b._storage, node)
            y = None
            if storage is not None:
                check_unmodified(storage, node)
                y = gy.contiguous()._restored(storage, node)
            edge_a, edge_b = node.edges
            if (
                fused
                and (shapes is not None or (gy._size >= LARGE if single else edge_b is not None))
                and not mode.enabled
                and not captures
                and gy.__class__ is Tensor
            ):
                wanted = edge_a is not None, edge_b is not None
                both = both_gradients(name, kernel_id, gy, a, b, shapes, wanted, single)
                if both is not None:
                    return both
            ga = None if edge_a is None or by_a is None else by_a(gy, y, a, b)
            gb = None if edge_b is None or by_b is None else by_b(gy, y, a, b)
            if shapes is not None:
                if ga is not None:
                    ga = un_broadcast(ga, shapes[0])
                if gb is not None:
                    gb = un_broadcast(gb, shapes[1])
            return [ga, gb]

        rule.__name__ = name
        call = wraps(function)(call)
        register(
            Op(
                name,
                call,
                reference,
                cases,
                family="binary",
                kernel="C",
                differentiable=recorded,
                methods=methods_of(name, method),
                tags=("integers",) if integers == "numpy" else (),
            )
        )
        return call  # type: ignore[return-value]

    return declare


__all__ = ["Storage", "binary", "by_numpy", "operands", "scalar", "unary"]
