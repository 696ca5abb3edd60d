# C types for search_rows.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_ahead cimport Ahead
from energysim.mapping.search_windows cimport Windows, integer

cdef double INFINITE
cdef integer PLAIN, SLIDES, FIELDS, MANY

cdef class Rows(Ahead):
    cdef double[::1] fill_full, fill_stay
    cdef double[:, ::1] part_slide, fresh_shared, fresh_alone
    cdef integer[::1] done
    cdef integer nearby
    cdef double own_low, own_other
    @cython.locals(t=integer, level=integer, d=integer, e=integer, alike=integer)
    cdef void prepare(self)
    cdef void rows(self, integer level)
    @cython.locals(key=double, i=integer, w=integer)
    cdef void gather(self, integer level) noexcept
    @cython.locals(cost=double, other=double, t=integer, i=integer, d=integer, step=integer, number=integer, block=integer, j=integer, n=integer, base=integer, k=integer, place=integer)
    cdef void reach_out(self, integer level) noexcept
    @cython.locals(key=double, before=integer, kept=integer, level=integer, other=integer, ahead=integer, first=integer, last=integer, i=integer)
    cdef integer narrow(self)
    @cython.locals(level=integer, w=integer, i=integer)
    cdef void group(self)
    @cython.locals(steps=double, own=double, number=integer, step=integer, c=integer, i=integer, now=integer, j=integer, w=integer)
    cdef void extend_row(self, integer level, integer d, integer tile, integer space, integer whole)
    @cython.locals(n=integer, seen=integer)
    cdef void add_row(self, integer level, integer tile, integer space, integer whole, double own)
    @cython.locals(t=integer)
    cdef double case_low(self, integer level, integer d, double cost) noexcept
    @cython.locals(total=double, steps=double, least=double, low=double, other=double, joint=double, cost=double, last=integer, t=integer, c=integer, d=integer, seen=integer)
    cdef double own(self, integer level, integer tile, integer space, integer whole)
    @cython.locals(visits=double, part=double, whole_size=double, alone=double, shared=double, outer_price=double, inner_price=double, outer=double, inner=double, once=double, stay=double, slow=double, least=double, slide=double, last=integer, moved=integer, w=integer, a=integer, b=integer, place=integer, offset=integer, side=integer, d=integer, loose=integer)
    cdef void bound_boundary(self, integer t, integer level, integer tile, integer space, integer whole, double run) noexcept
    @cython.locals(cost=double, t=integer, kind=integer)
    cdef double case(self, integer level, integer d) noexcept
    @cython.locals(total=double, copies=double, left=double, most=double, shared=double, price=double, steps=double, last=integer, c=integer, g=integer, handed_on=integer)
    cdef double fixed(self, integer t, integer level, integer tile, integer space, integer whole)
    @cython.locals(most=double, left=double, g=integer, last=integer)
    cdef double sharing(self, integer t, integer first, integer level, integer whole) noexcept
    @cython.locals(words=double, w=integer, a=integer, b=integer)
    cdef double points(self, integer t, integer level, integer space)
