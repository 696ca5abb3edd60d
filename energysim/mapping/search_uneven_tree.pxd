# C types for search_uneven_tree.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_uneven_rows cimport UnevenRows
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer WATCHED

cdef class UnevenTree(UnevenRows):
    cdef object price
    cdef public object best_where
    cdef integer[::1] pending, last_mark
    @cython.locals(dropped=double, least=double, whole=integer)
    cpdef void find(self, integer most_nodes, double until)
    cdef integer late(self)
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
    @cython.locals(first=integer, level=integer, k=integer, base=integer, middle=integer, number=integer, seen=integer, key=double, row=integer, which=integer, now=double, tile=integer)
    cdef void expand_marks(self, integer s, integer left, double cost)
    @cython.locals(first=integer, part=integer, t=integer, rest=integer, room=double, other=integer, dims=integer, outer=integer, d=integer, flat=integer, key=double, i=integer, top=integer)
    cdef void collect_tiles(self, integer s, integer k, integer left, integer level, double cost)
    @cython.locals(before=integer, last=integer, d=integer)
    cdef integer may_follow(self, integer s, integer k, integer level)
    @cython.locals(t=integer, rest=integer, number=integer, which=integer, now=double, key=double)
    cdef void order_mark(self, integer s, integer k, integer left, integer level, integer tile, double cost)
    @cython.locals(level=integer, base=integer, middle=integer, number=integer, seen=integer, key=double, row=integer, which=integer, now=double)
    cdef void expand_inside(self, integer s, double cost)
    @cython.locals(dims=integer, d=integer, flat=integer, i=integer, top=integer)
    cdef void collect_inside(self, integer s, integer level, double cost)
    @cython.locals(n=integer, row=integer, key=double, nearer=double)
    cdef void collect_row(self, integer s, integer level, integer whole, double cost)
    @cython.locals(tile=integer, space=integer, whole=integer, chosen=integer, outer=integer, d=integer, i=integer, j=integer, total=double, first=integer, k=integer, t=integer, before=integer, run=double, least=double, possible=integer, cost=double)
    cdef double near_inside(self, integer s, integer level, integer row)
    @cython.locals(tile=integer, chosen=integer, rest=integer, fixed=double, number=integer, which=integer, now=double, key=double)
    cdef void order_inside(self, integer s, integer level, integer row, double cost)
    @cython.locals(tile=integer, chosen=integer, first=integer, following=integer, k=integer)
    cdef void descend_inside(self, integer s, integer level, integer row, integer which, double now)
    @cython.locals(total=double, t=integer, k=integer, steps=double, g=integer)
    cdef double settle_inside(self, integer s, integer level)
    @cython.locals(total=double, g=integer)
    cdef double final(self, integer k, integer t, integer level)
    @cython.locals(level=integer)
    cdef void complete(self, integer s, double cost)
    cdef void found(self, double pj)
