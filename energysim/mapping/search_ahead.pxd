# C types for search_ahead.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_shares cimport Shares
from energysim.mapping.search_windows cimport integer

cdef double INFINITE

cdef class Ahead(Shares):
    @cython.locals(price=double, t=integer, c=integer, g=integer, plain=integer)
    cdef void find_deep(self)
    @cython.locals(cost=double, w=integer, i=integer, tile=integer, t=integer, table="double[:, ::1]")
    cdef void gather_low(self, integer level)
    @cython.locals(other=double, d=integer, step=integer, number=integer, block=integer, i=integer, j=integer, n=integer, base=integer, k=integer, place=integer)
    cdef void lower(self, double[:, ::1] table, integer level, integer t) noexcept
    @cython.locals(cost=double, block=double, again=double, run=double, outer=integer, t=integer, k=integer, d=integer, all_stay=integer)
    cdef double beyond(self, integer level, integer tile, integer whole, integer ordered) noexcept
