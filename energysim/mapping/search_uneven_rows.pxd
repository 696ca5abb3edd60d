# C types for search_uneven_rows.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_uneven_bounds cimport UnevenBounds
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer PLAIN, SLIDES, EVERY, MOST_ROWS

cdef class UnevenRows(UnevenBounds):
    @cython.locals(t=integer, k=integer, level=integer, s=integer, shared=integer, least=double)
    cpdef double bounds(self, double limit_pj)
    @cython.locals(level=integer, w=integer, tile=integer, i=integer)
    cdef void rows_inside(self, integer s)
    @cython.locals(last=integer, first=integer, ready=integer, choice=integer, chosen=integer, rest=double, outer=double, k=integer, t=integer, level=integer, least=double)
    cdef void open_marks(self, integer s, integer tile)
    @cython.locals(first=integer, k=integer, other=integer, bits=double)
    cdef integer begin_fits(self, integer s, integer chosen, integer tile)
    @cython.locals(least=double, outermost=integer, d=integer, cost=double)
    cdef double least_case(self, integer s, integer chosen)
    @cython.locals(first=integer, cost=double, k=integer, t=integer)
    cdef double case_of(self, integer s, integer chosen, integer d)
    @cython.locals(level=integer, k=integer)
    cdef void load_firsts(self, integer s)
    @cython.locals(level=integer, step=integer, number=integer, i=integer, j=integer, w=integer)
    cdef void extend_space(self, integer s, integer d, integer tile, integer space, integer whole)
    @cython.locals(level=integer, last=integer, outer=double, fixed=double, k=integer, t=integer, n=integer, choice=integer, chosen=integer, rest=double, total=double)
    cdef void price_row(self, integer s, integer tile, integer space, integer whole)
    @cython.locals(last=integer, total=double, t=integer, steps=double, c=integer)
    cdef double fixed_inside(self, integer s, integer level, integer tile, integer space, integer whole)
    @cython.locals(steps=double, c=integer)
    cdef integer too_slow(self, integer level, integer space)
    @cython.locals(level=integer, last=integer, total=double, k=integer, t=integer, most=double, left=double, copies=double, g=integer)
    cdef double first_visits(self, integer s, integer tile, integer space, integer whole)
    @cython.locals(kept=integer, s=integer, level=integer, first=integer, last=integer, w=integer, i=integer)
    cdef void narrow_rows(self)
    @cython.locals(n=integer)
    cdef void keep_row(self, integer tile, integer space, integer whole, integer choice, double total)
