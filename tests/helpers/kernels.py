"""The C kernels of native steps, compiled for a test and called with tensors that lie in memory in every way."""

import ctypes
import math

import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chainrule.engine.native.compiling import library

SOURCE = """
#include "kernels.h"
void product(const long *n, const real *a, const real *b, real *c, double alpha, double beta, const real *bias, real *scratch) {
    cr_matmul(n[0], n[1], n[2], a, n[3], n[4], b, n[5], n[6], c, n[7], n[8], alpha, beta, bias, n[9], n[10], scratch);
}
long panel(const long *n) { return cr_panel(n[0], n[1]); }
long width(void) { return CR_VL; }
long product_scratch(const long *n) { return cr_matmul_scratch(n[0], n[1], n[2]); }
static cr_conv conv(const long *n) { cr_conv s; memcpy(&s, n, sizeof s); return s; }
static cr_strides strides(const long *n) { cr_strides s; memcpy(&s, n, sizeof s); return s; }
static cr_pool pool(const long *n) { cr_pool s; memcpy(&s, n, sizeof s); return s; }
void forward(const long *n, const real *x, const long *xs, const real *w, const long *ws, const real *bias, real *y, const long *ys,
             real *scratch) {
    cr_conv2d(conv(n), x, strides(xs), w, strides(ws), bias, y, strides(ys), scratch);
}
void backward_input(const long *n, const real *dy, const long *ys, const real *w, const long *ws, real *dx, const long *xs,
                    real *scratch) {
    cr_conv2d_backward_input(conv(n), dy, strides(ys), w, strides(ws), dx, strides(xs), scratch);
}
void backward_weight(const long *n, const real *x, const long *xs, const real *dy, const long *ys, real *dw, const long *ws, real *db,
                     real *scratch) {
    cr_conv2d_backward_weight(conv(n), x, strides(xs), dy, strides(ys), dw, strides(ws), db, scratch);
}
long forward_scratch(const long *n) { return cr_conv2d_scratch(conv(n)); }
long backward_input_scratch(const long *n) { return cr_conv2d_backward_input_scratch(conv(n)); }
long backward_weight_scratch(const long *n) { return cr_conv2d_backward_weight_scratch(conv(n)); }
long weight_sums(const long *n) { return cr_sums_size(conv(n)); }
long tiled(const long *n) { return cr_win_forward(conv(n)); }
void max_pool(const long *n, const real *x, const long *xs, real *y, const long *ys, unsigned char *arg) {
    cr_maxpool2d(pool(n), x, strides(xs), y, strides(ys), arg);
}
void max_pool_back(const long *n, const real *dy, const long *ys, const unsigned char *arg, real *dx, const long *xs) {
    cr_maxpool2d_backward(pool(n), dy, strides(ys), arg, dx, strides(xs));
}
void mean_pool(const long *n, long pad, double divisor, const real *x, const long *xs, real *y, const long *ys) {
    cr_avgpool2d(pool(n), pad, divisor, x, strides(xs), y, strides(ys));
}
void mean_pool_back(const long *n, long pad, double divisor, const real *dy, const long *ys, real *dx, const long *xs) {
    cr_avgpool2d_backward(pool(n), pad, divisor, dy, strides(ys), dx, strides(xs));
}
#define MAP(f) void map_##f(long n, const real *restrict x, real *restrict y) { for (long i = 0; i < n; i++) y[i] = cr_##f(x[i]); }
MAP(exp) MAP(expm1) MAP(log) MAP(log1p) MAP(tanh) MAP(sigmoid)
"""

KINDS = {"one thread": (torch.float32, 1), "two threads": (torch.float32, 2), "double": (torch.float64, 2)}
GUARD = 7.0  # what lies around a buffer, and must lie there afterwards
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)


class Kernels:
    """The compiled kernels of one precision and number of threads, called with tensors."""

    def __init__(self, dtype, threads, folder):
        self.dtype = dtype
        defines = f"#define CR_THREADS {threads}\n" + ("#define CR_DOUBLE\n" if dtype == torch.float64 else "")
        self.library = library(defines + SOURCE, threads, folder)
        self.tolerance = 1e-12 if dtype == torch.float64 else 1e-5

    def __call__(self, name, sizes, *given):
        """Tensors as pointers, 4-D ones with their strides; where the kernel has scratch, full of NaN and no longer than it says.

        Returns the scratch as the kernel leaves it."""
        sizes = (ctypes.c_long * len(sizes))(*sizes)
        arguments = [sizes]
        for one in given:
            if isinstance(one, torch.Tensor):
                arguments.append(ctypes.c_void_p(one.data_ptr()))
                if one.ndim == 4 and one.dtype != torch.uint8:
                    arguments.append((ctypes.c_long * 4)(*one.stride()))
            else:
                arguments.append(ctypes.c_double(one) if isinstance(one, float) else one if one is None else ctypes.c_long(one))
        scratch = None
        if f"{name}_scratch" in SOURCE:
            length = self.count(f"{name}_scratch", sizes)
            held = torch.full((length + 64,), math.nan, dtype=self.dtype)
            begin = -held.data_ptr() % 64 // held.element_size()
            scratch, behind = held[begin:begin + length], held[begin + length:]
            behind.fill_(GUARD)
            arguments.append(ctypes.c_void_p(held[begin:].data_ptr()))
        function = getattr(self.library, name)
        function.restype = None
        function(*arguments)
        assert scratch is None or bool((behind == GUARD).all()), f"{name} wrote behind its scratch"
        return scratch

    def count(self, name, sizes):
        """The number that a function of the sizes returns."""
        function = getattr(self.library, name)
        function.restype = ctypes.c_long
        return function((ctypes.c_long * len(sizes))(*sizes))

    def close(self, got, want, terms=1):
        """Within rounding of `want`, a sum of so many terms in double precision."""
        scale = max(float(want.nan_to_num(0, 0, 0).abs().max()) if want.numel() else 0, 1) * self.tolerance * math.sqrt(terms + 1)
        torch.testing.assert_close(got.double(), want, rtol=0, atol=scale, equal_nan=True)


def laid_out(t, how, generator):
    """The same numbers in another place: `rows` or `columns` dense, or `apart` with gaps and off every boundary."""
    if how == "apart":
        held = torch.full([2 * n + 3 for n in t.shape], GUARD, dtype=t.dtype)
        view = held[tuple(slice(1, 2 * n + 1, 2) for n in t.shape)]
        return view.copy_(t)
    order = list(range(t.ndim)) if how == "rows" else [0, 2, 3, 1] if t.ndim == 4 else [1, 0]
    held = torch.empty(t.numel() + 1, dtype=t.dtype)[int(generator.random() < 0.5):][:t.numel()]
    view = held.view([t.shape[i] for i in order]).permute([order.index(i) for i in range(t.ndim)])
    return view.copy_(t)


LAYOUTS = st.sampled_from(["rows", "columns", "apart"])


def multiply(kernels, a, b, c, alpha=1.0, beta=0.0, bias=None):
    """alpha a b + beta c + bias into c."""
    sizes = [len(a), b.shape[1], a.shape[1], *a.stride(), *b.stride(), *c.stride(), *((0, 0) if bias is None else bias.stride())]
    kernels("product", sizes, a, b, c, alpha, beta, bias)
