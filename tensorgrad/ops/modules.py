"""C functions of your own, or of somebody else's library, called with Tensors: `load` compiles a file,
`bind` takes a module that a package was built with, `from_pointer` a function pointer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from sys import getrefcount
from typing import Any, NamedTuple

from tensorgrad._captures import captures, current_capture
from tensorgrad._config import get_include
from tensorgrad._native import NULL, SOLE_HOLDER, address_of, clock, lib
from tensorgrad._tensor import Tensor, copy_raw
from tensorgrad.autograd import _tape
from tensorgrad.dtypes import DTYPES, code_of
from tensorgrad.errors import (
    ABIError,
    ArgumentError,
    CompileError,
    DTypeError,
    IndexOutOfRangeError,
    KernelError,
    OutOfMemoryError,
    ShapeError,
)
from tensorgrad.ops._compiler import compile_shared, dlopen, find_compiler

_POINTERS = {
    "float": "float32",
    "double": "float64",
    "int8_t": "int8",
    "int16_t": "int16",
    "int32_t": "int32",
    "int64_t": "int64",
    "uint8_t": "uint8",
    "uint16_t": "uint16",
    "uint32_t": "uint32",
    "uint64_t": "uint64",
    "int": "int32",
    "bool": "bool",
}
_INTEGERS = (
    *("int", "long", "size_t", "int8_t", "int16_t", "int32_t", "int64_t"),
    *("uint8_t", "uint16_t", "uint32_t", "uint64_t", "unsigned", "bool"),
)
# enum tg_status, as errors
_STATUS: dict[int, tuple[type[Exception], str]] = {
    1: (OutOfMemoryError, "it found no memory"),
    2: (ShapeError, "a size is negative or too large"),
    3: (ArgumentError, "it refused an argument"),
    4: (IndexOutOfRangeError, "an index is out of range"),
}


class Parameter(NamedTuple):
    """A parameter of a C function. code: the dtype's, of a pointer to elements; -1 for a number or a
    pointer to void."""

    name: str
    base: str
    pointer: bool
    const: bool
    code: int


class Kernel:
    """A C function, to be called with Tensors where it takes pointers and numbers where it takes those.

    A pointer's element type must be the tensor's dtype, and the tensor contiguous (an input, `const
    T *`, is copied if it is not); None is NULL. What is not const counts as written in place. An int
    that is returned is a status: anything but 0 raises an error, of `enum tg_status` the named one.

    Raises ArgumentError, DTypeError for arguments that do not fit, KernelError."""

    def __init__(self, function: Any, null: Any, signature: str) -> None:
        self.name, self.returns, self.parameters = parse_signature(signature)
        self.signature = " ".join(signature.split())
        self.address = 0  # of the function, where it is known: a program calls it there
        self._function = function
        self._null = null
        self._converters = [_converter(p, self) for p in self.parameters]
        # a type of its own, since Python looks for __call__ there
        self.__class__ = type("Kernel", (Kernel,), {"__call__": _quick_call(self)})

    def __repr__(self) -> str:
        return f"<kernel {self.signature}>"

    def __call__(self, *arguments: Any) -> Any:
        if len(arguments) != len(self._converters):
            raise ArgumentError(
                f"{self.name}: expected {len(self._converters)} arguments, {self.signature}, got "
                f"{len(arguments)}"
            )
        keep: list[Tensor] = []  # copies must live until the call is over
        values = [
            convert(argument, keep)
            for convert, argument in zip(self._converters, arguments, strict=True)
        ]
        result = self._result(self._function(*values))
        capture = current_capture()
        if capture is not None:
            capture.called(self, arguments, keep)
        return result

    def _result(self, result: Any) -> Any:
        if self.returns != "int":
            return result
        if result:
            kind, why = _STATUS.get(result, (KernelError, "a status that tensorgrad does not know"))
            raise kind(f"{self.name}: the kernel returned {result}: {why}")
        return None


# Arguments that fit as they are, contiguous tensors of the right dtype and Python's own numbers, go
# straight to the function: written out for each kernel, this costs a third of converting each. The
# last lines are `_writable` for a contiguous tensor that is not on the tape and alone has its memory:
# it is no view, nor has it any. (Asking whether it has `_base` would cost more: it has not.)
_QUICK = """
def quick(self, {optional}*more):
    try:
        fits = {fits} and not captures
        {pointers}
    except AttributeError:
        fits = False
    if not fits:
        return convert_and_call(self, *[a for a in ({given}*more,) if a is not absent])
    {written}
    {call}
"""
_WRITTEN = """if (
        {0}._node is None
        and tape.writer_of is None
        and getrefcount({0}._storage) == SOLE_HOLDER
    ):
        storage = {0}._storage
        storage.written = clock()
        storage.writer = name
    else:
        {0}._writable(name)
    """
_NUMBERS = {"integer": frozenset((int, bool)), "real": frozenset((int, float))}


def _quick_call(kernel: Kernel) -> Callable[..., Any]:
    names = [f"a{i}" for i in range(len(kernel.parameters))]
    fits, pointers, written, values = ["not more"], ["pass"], [], []
    for name, p in zip(names, kernel.parameters):
        if not p.pointer:
            kind = "real" if p.base in ("float", "double") else "integer"
            fits.append(f"{name}.__class__ in {kind}")
            values.append(name)
            continue
        fits.append(f"{name}._strides is None")
        if p.code >= 0:
            fits.append(f"{name}._code == {p.code}")
        if not p.const:
            written.append(_WRITTEN.format(name))
        pointers.append(f"p_{name} = {name}._ptr")
        values.append(f"p_{name}")
    call = f"function({', '.join(values)})"
    text = _QUICK.format(
        optional="".join(f"{name}=absent, " for name in names),
        given="".join(f"{name}, " for name in names),
        fits=" and ".join(fits),
        pointers="; ".join(pointers),
        written="".join(written),
        call=f"status = {call}\n    if status:\n        result(self, status)"
        if kernel.returns == "int"
        else f"return {call}",
    )
    scope: dict[str, Any] = {
        "absent": object(),
        "captures": captures,
        "clock": clock,
        "convert_and_call": Kernel.__call__,
        "function": kernel._function,
        "getrefcount": getrefcount,
        "name": kernel.name,
        "result": Kernel._result,
        "SOLE_HOLDER": SOLE_HOLDER,
        "tape": _tape,
        **_NUMBERS,
    }
    exec(compile(text, f"<kernel {kernel.name}>", "exec"), scope)
    quick: Callable[..., Any] = scope["quick"]
    return quick


def parse_signature(signature: str) -> tuple[str, str, tuple[Parameter, ...]]:
    """The name, the returned type and the parameters of a C function's declaration. Raises
    ArgumentError for what it does not understand.

    >>> from tensorgrad.ops.modules import parse_signature
    >>> name, returns, parameters = parse_signature("int half(int64_t n, const float *x, float *y)")
    >>> name, returns, [p.name for p in parameters]
    ('half', 'int', ['n', 'x', 'y'])
    """
    text = " ".join(re.sub(r"/\*.*?\*/", " ", signature, flags=re.DOTALL).split()).rstrip("; ")
    match = re.fullmatch(r"(?P<returns>[\w\s*]+?)\s*\b(?P<name>\w+)\s*\((?P<rest>.*)\)", text)
    if match is None:
        raise ArgumentError(
            f"kernel: expected a C declaration like 'int f(int64_t n, const float *x)', got {text!r}"
        )
    name = match["name"]
    returns = match["returns"].replace("static", "").replace("extern", "").strip()
    if returns not in ("void", "int", "float", "double", *_INTEGERS):
        raise ArgumentError(f"kernel {name}: expected it to return a number, got {returns!r}")
    rest = match["rest"].strip()
    parts = [] if rest in ("", "void") else rest.split(",")
    return name, returns, tuple(_parameter(part.strip(), i, name) for i, part in enumerate(parts))


def _parameter(text: str, position: int, where: str) -> Parameter:
    words = re.findall(r"\w+|\*", text)
    pointer = "*" in words
    const = "const" in words[: words.index("*")] if pointer else False
    names = [w for w in words if w not in ("const", "restrict", "*", "struct", "__restrict")]
    if words.count("*") > 1 or not names:
        raise ArgumentError(f"kernel {where}: cannot take a parameter {text!r}")
    base = "unsigned" if names[0] == "unsigned" else names[0]
    name = names[-1] if len(names) > 1 else f"argument {position}"
    if pointer and base in _POINTERS:
        return Parameter(name, base, True, const, code_of(_POINTERS[base], where))
    if pointer and base == "void":
        return Parameter(name, base, True, const, -1)
    if not pointer and base in ("float", "double", *_INTEGERS):
        return Parameter(name, base, False, False, -1)
    raise ArgumentError(
        f"kernel {where}: cannot take a parameter {text!r}; expected numbers and pointers to "
        f"{', '.join(_POINTERS)}, void"
    )


def _converter(p: Parameter, kernel: Kernel) -> Callable[[Any, list[Tensor]], Any]:
    where = kernel.name

    def number(value: Any, keep: list[Tensor]) -> Any:
        try:
            return float(value) if p.base in ("float", "double") else value.__index__()
        except (TypeError, ValueError, AttributeError):
            raise DTypeError(f"{where}: expected {p.base} for {p.name}, got {value!r}") from None

    def array(value: Any, keep: list[Tensor]) -> Any:
        if value is None:
            return kernel._null
        if not isinstance(value, Tensor):
            raise DTypeError(f"{where}: expected a Tensor for {p.name}, got {type(value).__name__}")
        if p.code >= 0 and value._code != p.code:
            raise DTypeError(
                f"{where}: expected a Tensor of {DTYPES[p.code]} for {p.name}, got {value.dtype}"
            )
        if value._strides is not None:
            if not p.const:
                raise ArgumentError(
                    f"{where}: {p.name} is written, so it must be contiguous; got strides "
                    f"{value.strides} of shape {value.shape}"
                )
            value = copy_raw(value)
        if not p.const:
            value._writable(where)
        keep.append(value)
        return value._ptr

    return array if p.pointer else number


class Module:
    """The functions of a module of kernels, as attributes."""

    def __init__(self, name: str, kernels: dict[str, Kernel]) -> None:
        self._name = name
        self.__dict__.update(kernels)
        self._kernels = kernels

    def __repr__(self) -> str:
        return f"<kernels of {self._name}: {', '.join(self._kernels)}>"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._name} has no kernel {name!r}; it has {list(self._kernels)}")


_EXPORTED = re.compile(r"\bTG_EXPORT\b\s*(?P<declaration>[^;{()]*\([^;{)]*\))\s*\{")
_MODULE_CDEF = "int tg_module_abi(void); void tg_module_bind(const void *api);"


def load(path: str | Path, *, flags: Sequence[str] = ()) -> Module:
    """Compiles a C file of kernels, once, and loads it: its functions marked TG_EXPORT.

    The file includes <tensorgrad_kernel.h>, which says how to write one, and has TG_MODULE in it;
    <tensorgrad_simd.h> gives vectors and vector mathematics. flags: for the compiler, in addition to
    ours. The result is kept under the hash of the file, the headers it includes and the compiler.

    Raises CompileError with the compiler's message, ABIError for a module of another ABI.

    >>> import pathlib, tensorgrad
    >>> _ = pathlib.Path("half.c").write_text('''
    ... #include <tensorgrad_kernel.h>
    ... TG_MODULE
    ... TG_EXPORT int half(int64_t n, const float *x, float *y) {
    ...     for (int64_t i = 0; i < n; i++) y[i] = x[i] / 2;
    ...     return TG_OK;
    ... }''')
    >>> kernels = tensorgrad.ops.load("half.c")
    >>> x, y = tensorgrad.ones(3), tensorgrad.empty(3)
    >>> kernels.half(3, x, y)
    >>> y
    tensor([0.5, 0.5, 0.5])
    """
    origin = Path(path).resolve()
    try:
        source = origin.read_text(encoding="utf-8")
    except OSError as error:
        raise CompileError(f"load: {origin} cannot be read: {error.strerror}") from None
    found = _EXPORTED.finditer(_without_comments(source))
    declarations = [m["declaration"] for m in found if "tg_module_" not in m["declaration"]]
    if not declarations:
        raise CompileError(f"load: {origin} has no function marked TG_EXPORT")
    dependencies = _included(origin)
    built = compile_shared(origin.stem, source, origin=origin, flags=[*flags, *dependencies])
    own, module = dlopen(built, _MODULE_CDEF + "".join(d + ";" for d in declarations))
    return bind(own, module, declarations, name=str(origin))


def _without_comments(source: str) -> str:
    return re.sub(r"//[^\n]*|/\*.*?\*/", " ", source, flags=re.DOTALL)


def _included(origin: Path) -> list[str]:
    """A flag that changes with the headers that a file includes, of ours and its own."""
    import hashlib

    run = subprocess.run(
        [*find_compiler(), "-MM", "-I", get_include(), str(origin)],
        capture_output=True,
        text=True,
        check=False,
    )
    digest = hashlib.sha256()
    for name in run.stdout.replace("\\\n", " ").split()[1:]:
        file = Path(name)
        if file.is_file() and file != origin:
            digest.update(file.read_bytes())
    return [f"-DTG_HEADERS_{digest.hexdigest()[:16]}"]


def bind(ffi: Any, module: Any, declarations: str | Sequence[str], *, name: str = "") -> Module:
    """The functions of a module of kernels that was built elsewhere, with cffi.

    ffi, module: its `ffi` and `lib`. declarations: those of its functions, a list or the text of the
    cdef. The module has TG_MODULE in it (see <tensorgrad_kernel.h>): it is refused with ABIError if it
    was built for another ABI than this tensorgrad's, and else gets the library's services."""
    where = name or getattr(module, "__name__", "the module")
    try:
        abi = module.tg_module_abi()
    except AttributeError:
        raise ABIError(
            f"{where} is no module of kernels: it has no TG_MODULE (see tensorgrad_kernel.h)"
        ) from None
    if abi != lib.TG_ABI_VERSION:
        raise ABIError(
            f"{where} was built for version {abi} of tensorgrad's C interface, and this tensorgrad "
            f"has version {lib.TG_ABI_VERSION}: build it again"
        )
    module.tg_module_bind(ffi.cast("void *", address_of(lib.tg_services())))
    if isinstance(declarations, str):
        declarations = [d for d in _without_comments(declarations).split(";") if d.strip()]
    kernels = {}
    for declaration in declarations:
        found = parse_signature(declaration)[0]
        if not found.startswith("tg_module_"):
            kernels[found] = _kernel(ffi, getattr(module, found), declaration)
            kernels[found].address = int(ffi.cast("uintptr_t", ffi.addressof(module, found)))
    return Module(where, kernels)


def _kernel(ffi: Any, function: Any, declaration: str) -> Kernel:
    """A kernel whose pointers are cast into the other ffi's."""
    kernel = Kernel(function, ffi.NULL, declaration)
    if any(p.pointer for p in kernel.parameters):
        kernel._converters = [
            _cast(ffi, convert, p) for convert, p in zip(kernel._converters, kernel.parameters)
        ]
    return kernel


def _cast(
    ffi: Any, convert: Callable[..., Any], p: Parameter
) -> Callable[[Any, list[Tensor]], Any]:
    if not p.pointer:
        return convert
    kind = ffi.typeof(f"{p.base} *")
    cast, null = ffi.cast, ffi.NULL

    def converted(value: Any, keep: list[Tensor]) -> Any:
        pointer = convert(value, keep)
        return null if pointer is null or pointer == NULL else cast(kind, address_of(pointer))

    return converted


def from_pointer(pointer: Any, signature: str) -> Kernel:
    """A function of somebody else's library, without a copy of anything.

    pointer: a cffi function pointer, or its address as an integer; whoever loaded the library keeps it
    loaded. signature: its C declaration; nobody can check that it is right.

    >>> import cffi, tensorgrad
    >>> ffi = cffi.FFI()
    >>> ffi.cdef("double hypot(double x, double y);")
    >>> library = ffi.dlopen(None)  # what Python itself is linked with
    >>> pointer = ffi.addressof(library, "hypot")
    >>> hypot = tensorgrad.ops.from_pointer(
    ...     int(ffi.cast("uintptr_t", pointer)), "double hypot(double x, double y)"
    ... )
    >>> hypot(3.0, 4.0)
    5.0
    """
    from cffi import FFI

    name, returns, parameters = parse_signature(signature)
    kinds = ", ".join(f"{p.base} *" if p.pointer else p.base for p in parameters) or "void"
    own = FFI()
    if not isinstance(pointer, (int, FFI.CData)):
        raise DTypeError(
            f"from_pointer: expected a cffi function pointer or an address for {name}, got "
            f"{type(pointer).__name__}"
        )
    address = pointer if isinstance(pointer, int) else int(own.cast("uintptr_t", pointer))
    if not address:
        raise ArgumentError(f"from_pointer: the pointer for {name} is NULL")
    kernel = _kernel(own, own.cast(f"{returns} (*)({kinds})", address), signature)
    kernel.address = address
    return kernel


__all__ = ["Kernel", "Module", "bind", "from_pointer", "load"]
