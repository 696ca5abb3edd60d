# C types for search_tree.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_heaps cimport Heaps
from energysim.mapping.search_windows cimport integer

cdef double INFINITE, EDGE, PATIENCE, HOPE, FAR
cdef integer PLAIN, WATCHED, HOPELESS, AGAIN

cdef class Tree(Heaps):
    cdef double[::1] share
    cdef double seen_share
    cdef integer since
    cdef integer most_nodes, any_will_do, width
    cdef integer[::1] innermost
    cdef integer[:, ::1] digit
    cdef public integer stopped
    cdef public double root_pj, until
    cpdef void ready(self)
    @cython.locals(level=integer, w=integer)
    cpdef double start(self)
    @cython.locals(w=integer)
    cpdef double borrow(self, Tree lender)
    cpdef void limit(self, double pj) noexcept
    cpdef void cap(self, double cycles) noexcept
    @cython.locals(going=integer, before=double)
    cpdef void search(self, integer most_nodes, double until, integer any_will_do)
    cdef void pass_along(self, integer width)
    cdef void climb(self)
    cdef void complete(self, double now)
    @cython.locals(cycles=double, whole=integer)
    cdef double total(self, double now)
    cdef integer breadth(self, integer level)
    cdef integer late(self)
    @cython.locals(far=integer)
    cdef integer hopeless(self) noexcept
    @cython.locals(key=double, now=double, part=double, base=integer, middle=integer, rows=integer, seen=integer, row=integer, children=integer, which=integer)
    cdef void expand(self, integer level, double cost, integer alike)
    cdef void leave_open(self, double key) noexcept
    @cython.locals(d=integer, dims=integer, flat=integer, i=integer, top=integer)
    cdef void collect_rows(self, integer level, double cost, integer alike)
    @cython.locals(inside=double, key=double, first=integer, last=integer, n=integer, row=integer, tile=integer, space=integer)
    cdef void collect_whole(self, integer level, integer whole, double cost, integer alike)
    @cython.locals(total=double, run=double, steps=double, least=double, cost=double, outer=integer, d=integer, step=integer, number=integer, i=integer, j=integer, t=integer, c=integer)
    cdef double near(self, integer level, integer tile, integer space, integer whole)
    @cython.locals(reading=double, writing=double, instances=double, points=double, read=double, write=double, pairs=double, moved=double, most=double, c=integer, t=integer)
    cdef double busy(self, integer level, integer space, integer d)
    @cython.locals(run=double, again=double, number=integer, t=integer, i=integer)
    cdef void look_outward(self, integer level) noexcept
    @cython.locals(fixed=double, inside=double, now=double, key=double, cycles=double, mask=integer, whole=integer, d=integer, which=integer)
    cdef void orders(self, integer level, double cost, integer row)
    @cython.locals(tile=integer, space=integer, same=integer)
    cdef void descend(self, integer level, integer row, integer which, double now, integer alike)
    cdef void keep(self)
