# C types for search_uneven_tree.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_uneven_times cimport UnevenTimes
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer EVERY, FOUND

cdef class UnevenTree(UnevenTimes):
    @cython.locals(dropped=double, least=double, whole=integer, part=integer, now=double)
    cpdef void find(self, integer most_nodes, double until, integer any_will_do)
    @cython.locals(n=integer, marks=integer, key=double, level=integer)
    cdef void gather_outer(self, double cost)
    @cython.locals(which=integer[::1], i=integer, n=integer, k=integer, part=integer)
    cdef void go_on(self)
    @cython.locals(part=integer, level=integer, k=integer, tile=integer)
    cdef void place_outer(self, integer n)
    @cython.locals(first=integer, level=integer, k=integer, base=integer, middle=integer, number=integer, seen=integer, row=integer, which=integer, now=double, tile=integer)
    cdef void expand_marks(self, integer s, integer left, double cost)
    @cython.locals(first=integer, part=integer, t=integer, after=integer, space=integer, row=integer, room=double, other=integer, outer=integer, flat=integer, key=double)
    cdef void collect_tiles(self, integer s, integer k, integer left, integer level, double cost)
    @cython.locals(t=integer, rest=double, number=integer, which=integer, now=double, key=double)
    cdef void order_mark(self, integer s, integer k, integer left, integer level, integer tile, double cost)
    @cython.locals(level=integer, base=integer, middle=integer, number=integer, seen=integer, row=integer, which=integer, now=double)
    cdef void expand_inside(self, integer s, double cost)
    @cython.locals(flat=integer)
    cdef void collect_inside(self, integer s, integer level, double cost)
    @cython.locals(n=integer, row=integer, key=double)
    cdef void collect_row(self, integer s, integer level, integer whole, double cost)
    @cython.locals(tile=integer, chosen=integer, rest=double, fixed=double, number=integer, which=integer, now=double, key=double)
    cdef void order_inside(self, integer s, integer level, integer row, double cost)
    @cython.locals(tile=integer, chosen=integer, first=integer, following=integer, k=integer)
    cdef void descend_inside(self, integer s, integer level, integer row, integer which, double now)
    @cython.locals(level=integer, d=integer)
    cdef void finish(self, integer s, double cost)
    cdef void found(self, integer level, double pj)
    cdef void time_mark(self, integer k, integer level)
    @cython.locals(first=integer, k=integer)
    cdef void time_inside(self, integer s, integer chosen, integer level)
