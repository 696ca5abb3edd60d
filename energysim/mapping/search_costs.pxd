# C types for search_costs.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_partial cimport Partial
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer PLAIN

cdef class Costs(Partial):
    cdef double[::1] part_loop
    cdef void make_room(self)
    @cython.locals(tile=integer, space=integer, d=integer)
    cdef void place(self, integer level, integer row) noexcept
    @cython.locals(d=integer, whole=integer)
    cdef void place_at(self, integer level) noexcept
    @cython.locals(total=double, pairs=double, t=integer, c=integer)
    cdef double settle(self, integer level)
    @cython.locals(copies=double, total=double, g=integer, w=integer)
    cdef double visits(self, integer t, integer level, integer done)
    @cython.locals(d=integer, coefficient=integer, inside=integer, g=integer, factor=integer)
    cdef object spread_loops(self, integer w, integer side, integer level)
    @cython.locals(a=integer, b=integer)
    cdef integer touched(self, integer w)
    @cython.locals(total=double, g=integer)
    cdef double finished(self, integer t, integer child)
    @cython.locals(total=double, t=integer)
    cdef double flow(self, integer level)
    @cython.locals(total=double, shared=double, alone=double, words=double, parent=integer, number=integer, apart=integer, following=integer)
    cdef double boundary(self, integer t, integer child, integer level)
    @cython.locals(steps=double, words=double, kept=double, need=double, g=integer, start=integer, end=integer, w=integer, first=integer, i=integer, shift=integer, a=integer, b=integer, d=integer, coefficient=integer, step=integer)
    cdef double arrivals(self, integer t, integer child, integer level, integer parent, integer apart, integer number)
    @cython.locals(a=integer, u=integer, b=integer, v=integer, g=integer, passing=integer)
    cdef void setting(self, integer w, integer t, integer child, integer level, integer apart) noexcept
    @cython.locals(pairs=double, done=double, back=double, parent=integer)
    cdef void ports(self, integer t, integer child, integer depth, double shared, double alone)
    @cython.locals(words=double)
    cdef void compute_ports(self, integer t, integer level)
    @cython.locals(steps=double, most=double, instances=double, reading=double, writing=double, busy=double, g=integer, m=integer)
    cdef double cycles(self, integer level)
    @cython.locals(m=integer)
    cdef void clear_ports(self, integer level) noexcept
    @cython.locals(reading=double, writing=double)
    cdef double stalls(self, integer level)
    @cython.locals(steps=double, more=double, g=integer)
    cdef double waiting(self, integer level, double cycles)
