"""Kernels made from expressions: the C file, its kernels' places beside the library's own, and the
functions that call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from tensorgrad._native import NULL, broadcast_layout, fail, ffi, lib
from tensorgrad._tensor import Tensor, empty_raw
from tensorgrad.dtypes import DTYPES, F32, F64, promote
from tensorgrad.ops._compiler import compile_shared, dlopen
from tensorgrad.ops._expressions import Expression, as_c, is_cheap

MOST_INPUTS = 4
MOST_PARAMETERS = 4

# ---- the C file ----------------------------------------------------------------------------------

_CDEF = "extern const void *const tg_kernels[];"


class Row(NamedTuple):
    """A kernel: its row in the table of its family, as csrc/kernels has them, and what it is of."""

    text: str
    expression: Expression
    inputs: int


def cost_of(expression: Expression) -> str:
    """The cost that a row names."""
    return "CHEAP" if is_cheap(expression) else "COSTLY"


def map_row(name: str, expression: Expression, inputs: Sequence[str], params: Sequence[str]) -> Row:
    """The row of a kernel of the family that takes any number of inputs and parameters."""
    names = dict(zip(inputs, "abcd")) | {p: f"p{i}" for i, p in enumerate(params)}
    text = f"{name}, {cost_of(expression)}, {len(inputs)}, {as_c(expression, names)}"
    return Row(text, expression, len(inputs))


def _source(rows: Mapping[str, Sequence[Row]]) -> str:
    """The C file of the rows of each family."""
    text = "#include <tensorgrad_simd.h>\n"
    for family, lines in rows.items():
        macro = f"TG_{family.upper()}_OPS"
        text += f"#define {macro}(OP) " + " ".join(f"OP({row.text})" for row in lines) + "\n"
        text += f'#include "kernels/{family}_types.h"\n'
    for suffix, bits in (("f32", 32), ("f64", 64)):
        text += f"#define TG_SUFFIX {suffix}\n#define TG_BITS {bits}\n"
        text += "".join(f'#include "kernels/{family}.h"\n' for family in rows)
        text += "#undef TG_SUFFIX\n#undef TG_BITS\n"
    exported = []
    for family, lines in rows.items():
        if family == "map":
            for row in lines:
                name = row.text.split(",")[0]
                for suffix in ("f32", "f64"):
                    text += f"static const tg_map_fn {name}_at_{suffix}[] = {{{name}_{suffix}}};\n"
                    exported.append(f"{name}_at_{suffix}")
        else:
            exported += [f"&{family}_kernels_{suffix}" for suffix in ("f32", "f64")]
    text += '__attribute__((visibility("default"))) const void *const tg_kernels[] = {'
    return text + ", ".join(exported) + "};\n"


def compiled(name: str, rows: Mapping[str, Sequence[Row]]) -> list[int]:
    """Compiles the rows of each family, of which unary and binary have one at most, and adds the
    kernels to the library's. Their ids, in order. Raises CompileError, OutOfMemoryError."""
    own, module = dlopen(compile_shared(name, _source(rows)), _CDEF)
    families = {"unary": lib.TG_UNARY, "binary": lib.TG_BINARY, "map": lib.TG_MAP}
    ids: list[int] = []
    for family, lines in rows.items():
        for row in lines:
            pair = [
                ffi.cast("void *", int(own.cast("uintptr_t", module.tg_kernels[2 * len(ids) + k])))
                for k in (0, 1)
            ]
            cost = 0 if is_cheap(row.expression) else 1  # enum of kernels/cost.h
            found = lib.tg_custom_add(families[family], cost, row.inputs, *pair)
            if found < 0:
                fail(-found, f"op {name!r}")
            ids.append(found)
    return ids


# ---- functions -----------------------------------------------------------------------------------


def defined(name: str, parameters: str, body: str, scope: dict[str, Any]) -> Any:
    """A function from its text, in whose body names of the scope begin with an underscore: the
    parameters' names are the user's, and do not."""
    text = f"def {name}({parameters}):\n    {body}\n"
    made: dict[str, Any] = {}
    exec(compile(text, f"<op {name}>", "exec"), scope, made)
    made[name].__module__ = "tensorgrad.ops.custom"
    return made[name]


def _signature(inputs: Sequence[str], params: Mapping[str, float]) -> str:
    tensors = [f"{x}: 'Tensor'" for x in inputs]
    numbers = [f"{p}=float('{value!r}')" for p, value in params.items()]  # inf is no literal
    return ", ".join([*tensors, "/", *(["*", *numbers] if numbers else [])])


def with_signature(
    name: str, inputs: Sequence[str], params: Mapping[str, float], body: Callable[..., Any]
) -> Any:
    """A function (inputs, /, *, params) that hands its arguments to body(tensors, numbers)."""
    numbers = "".join(p + ", " for p in params)
    text = f"return _body(({', '.join(inputs)},), ({numbers}))"
    return defined(name, _signature(inputs, params), text, {"_body": body})


_CALLER = """
    _code = {first}._code
    if {codes_differ}:
        {inputs} = _of_one_dtype(({inputs}))
        _code = {first}._code
    _shape = {first}._shape
    if {layouts_differ}:
        _shape, _layout = _broadcast_layout(_name, {layouts})
        _size = _prod(_shape)
    else:
        _layout = _NULL
        _size = {first}._size
    _y = _empty(_shape, _size, _code)
    _status = _map(_kernel, _code, _size, {pointers}, _y._ptr, _layout, {numbers})
    if _status:
        _fail(_status, _name, _y._storage)
    return _y
"""


def caller(name: str, kernel: int, inputs: Sequence[str], params: Mapping[str, float]) -> Any:
    """A function (inputs, /, *, params) that calls a kernel of the map family on tensors that
    broadcast, off the tape."""
    first, *others = inputs
    absent = ["_NULL"] * (MOST_INPUTS - len(inputs))
    codes = [f"_code > {F64}", *(f"{x}._code != _code" for x in others)]
    layouts = [f"{first}._strides is not None"]
    layouts += [f"{x}._shape != _shape or {x}._strides is not None" for x in others]
    text = _CALLER.format(
        first=first,
        inputs="".join(f"{x}, " for x in inputs),
        codes_differ=" or ".join(codes),
        layouts_differ=" or ".join(layouts),
        layouts=", ".join(f"({x}._shape, {x}._strides)" for x in inputs),
        pointers=", ".join([*(f"{x}._ptr" for x in inputs), *absent]),
        numbers=", ".join([*params, *["0.0"] * (MOST_PARAMETERS - len(params))]),
    )
    scope = {
        "_of_one_dtype": of_one_dtype,
        "_name": name,
        "_broadcast_layout": broadcast_layout,
        "_prod": prod,
        "_NULL": NULL,
        "_empty": empty_raw,
        "_map": lib.tg_map,
        "_kernel": kernel,
        "_fail": fail,
    }
    return defined(name, _signature(inputs, params), text, scope)


def of_one_dtype(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors, off the tape, in the float dtype to which they promote; integers become float32."""
    code = tensors[0]._code
    for t in tensors:
        if t._code != code:
            code = promote(code, t._code)
    if code > F64:
        code = F32
    return tuple(t if t._code == code else t.detach().astype(DTYPES[code]) for t in tensors)
