# C types for search_uneven_places.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_uneven_rows cimport UnevenRows
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer WATCHED

cdef class UnevenPlaces(UnevenRows):
    cdef public object best_where
    cdef integer[::1] pending, last_mark, last_class
    cdef integer gathering
    cdef integer outer_total
    cdef double[::1] outer_key, outer_cost
    cdef integer[:, ::1] outer_mark, outer_tile, outer_class
    cdef integer restrained
    cdef integer[::1] mark_memory, barred
    cdef integer[:, ::1] fixed_digit
    cdef unsigned char[:, ::1] no_loops
    @cython.locals(owner=integer, k=integer, d=integer)
    cdef void bar(self)
    @cython.locals(flat=integer, d=integer)
    cdef integer first_tile(self, integer level)
    @cython.locals(d=integer, i=integer, top=integer)
    cdef integer next_tile(self, integer level, integer flat)
    cdef integer late(self)
    @cython.locals(key=double)
    cdef integer goes_on(self, integer base, integer number, integer seen)
    @cython.locals(d=integer, step=integer, number=integer, i=integer, j=integer, whole=integer, t=integer)
    cdef void put(self, integer level, integer tile, integer space)
    @cython.locals(before=integer)
    cdef void mark(self, integer k, integer level)
    @cython.locals(first=integer, k=integer)
    cdef void begin_marks(self, integer s, integer chosen, integer level)
    cdef void use(self, integer k, integer tile, integer sign)
    @cython.locals(c=integer, n=integer, d=integer)
    cdef integer inner_dim(self, integer s, integer level)
    @cython.locals(mask=integer, d=integer, number=integer)
    cdef integer orders_outside(self, integer level, integer t)
    @cython.locals(t=integer, k=integer)
    cdef void hold_still(self, integer level)
    @cython.locals(before=integer, last=integer, d=integer)
    cdef integer may_follow(self, integer s, integer k, integer level)
    @cython.locals(tile=integer, space=integer, whole=integer, chosen=integer, outer=integer, d=integer, i=integer, j=integer, total=double, first=integer, k=integer, t=integer, before=integer, run=double, least=double, possible=integer, cost=double)
    cdef double near_inside(self, integer s, integer level, integer row)
    @cython.locals(total=double, t=integer, k=integer, steps=double, g=integer)
    cdef double settle_inside(self, integer s, integer level)
    @cython.locals(total=double, g=integer)
    cdef double final(self, integer k, integer t, integer level)
