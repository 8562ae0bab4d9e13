"""Builds the compiled module `tensorgrad._C`: slices the cdef from the header, lists the sources, and makes from the
header what records and replays its functions.

setup.py names `ffibuilder` in cffi_modules; `python csrc/build_ffi.py cdef` prints the cdef for a look, and
`python csrc/build_ffi.py functions` the table of runners, which the C tests need without Python.
"""

import os
import platform
import re
import sys
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "csrc" / "include" / "tensorgrad.h"
# csrc/tests is not part of the module
SOURCE_FOLDERS = ("core", "families", "isa")


def between(text: str, mark: str) -> str:
    """Return the part of the header between its `mark: begin` and `mark: end`."""
    return text.split(f"/* {mark}: begin */")[1].split(f"/* {mark}: end */")[0]


def cdef() -> str:
    """Return what cffi is told: the header, and what it adds for Python alone."""
    return between(HEADER.read_text(encoding="utf-8"), "cdef") + PYTHON_CDEF


# ---- recording and replaying ----------------------------------------------------------------------------------------

# tg_record: whether calls that this thread makes from Python are told of (tg_recorded), each after it was made, with
# its arguments as a program has them; of tg_alloc also the result. tg_called_back: what tg_call_back is given.
# tg_set_finalizer: see below.
PYTHON_CDEF = """
extern "Python" void tg_recorded(int function, const int64_t *words);
extern "Python" int tg_called_back(int64_t id);
void tg_record(int on);
int tg_set_finalizer(uintptr_t type, uintptr_t release);
enum { TG_ALLOCATED = -1, TG_FREED = -2 };
"""


def functions() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the functions that can be recorded: (name, parameters as (type, name))."""
    text = re.sub(
        r"/\*.*?\*/", " ", between(HEADER.read_text(encoding="utf-8"), "calls"), flags=re.S
    )
    found = []
    for name, rest in re.findall(r"\bint (tg_\w+)\(([^)]*)\);", text):
        parameters = [
            re.fullmatch(r"(.*?)\s*(\w+)", p.strip(), re.S).groups() for p in rest.split(",")
        ]
        found.append(
            (name, [(" ".join(kind.split()), parameter) for kind, parameter in parameters])
        )
    return found


def _loaded(kind: str, i: int) -> str:
    if "*" in kind:
        return f"({kind})(intptr_t)w[{i}]"
    return f"tg_word_double(w[{i}])" if kind == "double" else f"({kind})w[{i}]"


def _stored(kind: str, name: str) -> str:
    if "*" in kind:
        return f"(int64_t)(intptr_t){name}"
    return f"tg_double_word({name})" if kind == "double" else f"(int64_t){name}"


def runners() -> str:
    """Return C: the table of what can be replayed. Includes nothing: core/program.h must come before."""
    parts = []
    for name, parameters in functions():
        loaded = ", ".join(_loaded(kind, i) for i, (kind, _) in enumerate(parameters))
        parts.append(f"static int run_{name}(const int64_t *w) {{ return {name}({loaded}); }}")
    parts.append("const tg_function tg_functions[] = {")
    parts += [
        f'    {{"{name}", run_{name}, {len(parameters)}}},' for name, parameters in functions()
    ]
    parts.append("};")
    parts.append(
        "const int tg_function_count = (int)(sizeof tg_functions / sizeof tg_functions[0]);"
    )
    return "\n".join(parts) + "\n"


def recorders() -> str:
    """Return C for the module: calls from Python go through functions that record where that is asked for."""
    parts = [_RECORDING]
    for i, (name, parameters) in enumerate(functions()):
        declared = ", ".join(
            f"{kind} {parameter}".replace("* ", "*") for kind, parameter in parameters
        )
        given = ", ".join(parameter for _, parameter in parameters)
        stored = ", ".join(_stored(kind, parameter) for kind, parameter in parameters)
        parts.append(
            f"static int recorded_{name}({declared}) {{\n"
            f"    const int status = {name}({given});\n"
            f"    if (is_recording() && status == TG_OK) tg_recorded({i}, (const int64_t[]){{{stored}}});\n"
            f"    return status;\n}}\n#define {name} recorded_{name}"
        )
    return "\n".join(parts) + "\n"


_RECORDING = """
enum { TG_ALLOCATED = -1, TG_FREED = -2 };
static void tg_recorded(int function, const int64_t *words);
static _Atomic int recorders; /* threads that record; as a rule none, and then nothing else is looked at */
static _Thread_local int recording;
static inline int is_recording(void) {
    return __builtin_expect(recorders != 0, 0) && recording;
}
void tg_record(int on) {
    recorders += (on != 0) - recording;
    recording = on != 0;
}
static void *recorded_tg_alloc(int64_t bytes) {
    void *block = tg_alloc(bytes);
    if (is_recording()) tg_recorded(TG_ALLOCATED, (const int64_t[]){bytes, (int64_t)(intptr_t)block});
    return block;
}
static void recorded_tg_free(void *block) {
    if (is_recording()) tg_recorded(TG_FREED, (const int64_t[]){(int64_t)(intptr_t)block});
    tg_free(block);
}
#define tg_alloc recorded_tg_alloc
#define tg_free recorded_tg_free
"""


# Python raises KeyboardInterrupt, or what else a signal's handler raises, where its code next looks for signals. In a
# `__del__` written in Python that exception is reported and dropped: Ctrl-C does nothing, and the rest of the finalizer
# is left out. So ours are functions of C: `freed` runs no Python code, `closed` hands on what was raised.
_FINALIZERS = """
static PyObject *release, *ptr_name, *close_name;
static PyObject *freed(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *ptr = PyObject_GetAttr(self, ptr_name);
    if (!ptr) { /* interrupted before it had one */
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    PyObject *result = PyObject_CallFunctionObjArgs(release, ptr, NULL);
    Py_DECREF(ptr);
    return result;
}
static int raise_now(void *exception) {
    PyErr_SetObject((PyObject *)Py_TYPE((PyObject *)exception), exception);
    Py_DECREF((PyObject *)exception);
    return -1;
}
static PyObject *closed(PyObject *self, PyObject *unused) {
    (void)unused;
    PyObject *result = PyObject_CallMethodObjArgs(self, close_name, NULL);
    if (result) return result;
    PyObject *type, *exception, *traceback;
    PyErr_Fetch(&type, &exception, &traceback);
    PyErr_NormalizeException(&type, &exception, &traceback);
    if (exception && traceback) PyException_SetTraceback(exception, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    /* once more, from its beginning; if that raises too, it is reported as Python does with a __del__ */
    result = PyObject_CallMethodObjArgs(self, close_name, NULL);
    if (exception && Py_AddPendingCall(raise_now, exception) != 0) Py_DECREF(exception);
    return result;
}
static PyMethodDef freed_method = {"__del__", freed, METH_NOARGS, "Gives back self.ptr."};
static PyMethodDef closed_method = {"__del__", closed, METH_NOARGS, "Calls self.close()."};
/* Gives a class a __del__ that calls a function with self.ptr, or where that is 0 self.close(). Both are given by their
   id(). 0, or -1 where it failed. */
int tg_set_finalizer(uintptr_t type, uintptr_t function) {
    PyGILState_STATE gil = PyGILState_Ensure();
    if (function) Py_INCREF(release = (PyObject *)function);
    if (!ptr_name) ptr_name = PyUnicode_InternFromString("ptr");
    if (!close_name) close_name = PyUnicode_InternFromString("close");
    PyObject *method = NULL;
    if (ptr_name && close_name)
        method = PyDescr_NewMethod((PyTypeObject *)type, function ? &freed_method : &closed_method);
    const int status = method ? PyObject_SetAttrString((PyObject *)type, "__del__", method) : -1;
    Py_XDECREF(method);
    PyErr_Clear();
    PyGILState_Release(gil);
    return status;
}
"""


INCLUDED = '#include "core/program.h"\n'


# ---- the module -----------------------------------------------------------------------------------------------------


def in_project(folder: str, pattern: str) -> list[str]:
    """Return the files below csrc/`folder`, relative to the project's root as setuptools wants."""
    return [
        path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "csrc" / folder).glob(pattern))
    ]


def compile_flags() -> list[str]:
    """-O3 and IEEE semantics; errno and traps are not observable, so their upkeep is switched off.

    Python's own flags (such as -O2 -g -fwrapv) come earlier on the command line, so these win.
    """
    flags = "-std=gnu11 -O3 -g0 -fno-math-errno -fno-trapping-math -fno-wrapv"
    # nothing unwinds through C: without the tables for it the wheel is smaller
    flags += " -fno-asynchronous-unwind-tables -fvisibility=hidden -pthread"
    return flags.split() + os.environ.get("TENSORGRAD_CFLAGS", "").split()


def link_flags() -> list[str]:
    """Symbols that nobody links against are stripped, which keeps the wheel small."""
    strip = "-Wl,-x" if platform.system() == "Darwin" else "-Wl,-s"
    return [strip, "-pthread", *os.environ.get("TENSORGRAD_LDFLAGS", "").split()]


ffibuilder = FFI()
ffibuilder.cdef(cdef())
ffibuilder.set_source(
    "tensorgrad._C",
    INCLUDED + runners() + recorders() + _FINALIZERS,
    sources=[path for folder in SOURCE_FOLDERS for path in in_project(folder, "*.c")],
    depends=["csrc/build_ffi.py", *in_project(".", "**/*.h")],
    include_dirs=["csrc/include", "csrc"],
    define_macros=[
        ("TG_BUILD_FLAGS", '"{}"'.format(" ".join(compile_flags()).replace('"', '\\"')))
    ],
    extra_compile_args=compile_flags(),
    extra_link_args=link_flags(),
    libraries=["m"],
)

if __name__ == "__main__":
    print({"cdef": cdef(), "functions": INCLUDED + runners()}[sys.argv[1]])
