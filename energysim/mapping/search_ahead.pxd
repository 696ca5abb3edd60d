# C types for search_ahead.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_shares cimport Shares
from energysim.mapping.search_windows cimport integer

cdef double INFINITE

cdef class Ahead(Shares):
    @cython.locals(t=integer, c=integer, level=integer, w=integer)
    cpdef void lend(self, Ahead other)
    @cython.locals(outer=double, inner=double, parent=integer, handed=integer, shared=integer)
    cdef void exchange(self, integer t, integer c) noexcept
    cdef void lend_row(self, integer level, integer tile, integer whole, double own) noexcept
    @cython.locals(t=integer)
    cdef double case_other(self, integer level, integer d, double cost) noexcept
    @cython.locals(price=double, t=integer, c=integer, g=integer, plain=integer)
    cdef void find_deep(self)
    @cython.locals(cost=double, w=integer, i=integer, tile=integer, t=integer, table="double[:, ::1]")
    cdef void gather_low(self, integer level)
    @cython.locals(other=double, d=integer, step=integer, number=integer, block=integer, i=integer, j=integer, n=integer, base=integer, k=integer, place=integer)
    cdef void lower(self, double[:, ::1] table, integer level, integer t) noexcept
    @cython.locals(cost=double, block=double, again=double, run=double, outer=integer, t=integer, k=integer, d=integer, all_stay=integer)
    cdef double beyond(self, integer level, integer tile, integer whole, integer ordered) noexcept
